import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const DatabaseLocale = z.object({
  collate: z.string(),
  ctype: z.string(),
  provider: z.enum(['libc', 'icu', 'builtin']),
  /** Of ICU and builtin; null with libc. */
  locale: z.string().nullable(),
  /** What the operating system or ICU now says of the collation; null where this server cannot tell. */
  version: z.string().nullable(),
});
export type DatabaseLocale = z.output<typeof DatabaseLocale>;

/**
 * Locale of one database of this cluster, and the version of its collation.
 * @see https://www.postgresql.org/docs/current/catalog-pg-database.html
 */
export const databaseLocale = (database: string): Sql => {
  const provider = fragment`case datlocprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end`;
  const locale = since('databaseLocale', fragment`datlocale`, fragment`daticulocale`);
  const version = fragment`pg_database_collation_actual_version(oid)`;
  return sql`
  select datcollate::text as collate, datctype::text as ctype,
         ${since('localeProvider', provider, fragment`'libc'::text`)} as provider,
         ${since('localeProvider', locale, fragment`null`)}::text as locale,
         ${since('databaseCollationVersion', version, fragment`null`)}::text as version
    from pg_database where datname = ${database}`;
};

export const CollationVersion = z.object({ version: z.string().nullable() });

/** What this server says of the version of a temporary collation that has just been made. */
export const temporaryCollationVersion = (name: string): Sql => sql`
  select pg_collation_actual_version(oid) as version
    from pg_collation where collname = ${name} and collnamespace = pg_my_temp_schema()`;

export const StrayObject = z.object({ kind: z.string(), name: z.string() });
export type StrayObject = z.output<typeof StrayObject>;

/** What the schema pgconvoy holds beside the ledger. */
export const objectsInOurSchema = (): Sql => sql`
  select case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind, c.relname::text as name
    from pg_class c
   where c.relnamespace = (select oid from pg_namespace where nspname = 'pgconvoy')
     and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relname <> 'ledger'
  union all
  select 'function', p.proname::text from pg_proc p
   where p.pronamespace = (select oid from pg_namespace where nspname = 'pgconvoy')
   order by 1, 2`;
