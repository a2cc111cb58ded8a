import * as z from 'zod';
import { fragment, id, lit, sql, trusted } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';
import { NOT_USERS_EXTENSIONS } from './schemas.ts';

export const InstalledExtension = z.object({ name: z.string(), version: z.string() });
export type InstalledExtension = z.output<typeof InstalledExtension>;

/**
 * Extensions of this database, but for plpgsql, which each database has, and pglogical, which does not travel.
 * @see https://www.postgresql.org/docs/current/catalog-pg-extension.html
 */
export const installedExtensions = (): Sql => sql`
  select extname::text as name, extversion as version from pg_extension
   where extname not in (${NOT_USERS_EXTENSIONS}) order by 1`;

export const AvailableExtension = z.object({
  name: z.string(),
  defaultVersion: z.string().nullable(),
  versions: z.array(z.string()),
});
export type AvailableExtension = z.output<typeof AvailableExtension>;

/**
 * Those of these extensions that CREATE EXTENSION finds on this server, with their versions.
 * @see https://www.postgresql.org/docs/current/view-pg-available-extension-versions.html
 */
export const availableExtensions = (names: readonly string[]): Sql => sql`
  select e.name::text, e.default_version as "defaultVersion",
         array(select v.version from pg_available_extension_versions v where v.name = e.name order by 1) as versions
    from pg_available_extensions e
   where e.name = any(${names}::text[])`;

export const ConfigTable = z.object({
  extension: z.string(),
  schema: z.string(),
  name: z.string(),
  /** `WHERE …`: which rows are the users', as the extension's author wrote it; may be empty. */
  condition: z.string(),
});
export type ConfigTable = z.output<typeof ConfigTable>;

/**
 * Tables of extensions that may hold rows of users and are not empty files.
 * @see https://www.postgresql.org/docs/current/extend-extensions.html#EXTEND-EXTENSIONS-CONFIG-TABLES
 */
export const configTables = (): Sql => sql`
  select e.extname::text as extension, n.nspname::text as schema, c.relname::text as name,
         coalesce(e.extcondition[k.n], '') as condition
    from pg_extension e,
         lateral unnest(e.extconfig) with ordinality as k (oid, n),
         pg_class c, pg_namespace n
   where c.oid = k.oid and n.oid = c.relnamespace and c.relkind = 'r' and pg_relation_size(c.oid) > 0
   order by 1, 2, 3`;

export const FilledTable = z.object({
  extension: z.string(),
  schema: z.string(),
  name: z.string(),
  rows: z.number(),
});
export type FilledTable = z.output<typeof FilledTable>;

/** Which of these hold rows of users, and how many; asks as pg_dump does, with the extension's own condition. */
export const filledConfigTables = (tables: readonly ConfigTable[]): Sql => {
  const each = tables.map(
    ({ extension, schema, name, condition }): Fragment => fragment`
    select ${lit(extension)}::text as extension, ${lit(schema)}::text as schema, ${lit(name)}::text as name, count(*)::float8 as rows
      from only ${id(schema, name)} ${trusted(condition)} having count(*) > 0`,
  );
  return sql`${each.reduce((all, one) => fragment`${all} union all ${one}`)}`;
};
