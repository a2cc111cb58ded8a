import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const Setting = z.object({ name: z.string(), value: z.string() });
export type Setting = z.output<typeof Setting>;

/**
 * The settings of these names that this server knows, in the unit of pg_settings (kB, ms, 8kB pages).
 * @see https://www.postgresql.org/docs/current/view-pg-settings.html
 */
export const settingsNamed = (names: readonly string[]): Sql => sql`
  select name, coalesce(setting, '') as value from pg_settings where name = any(${names}::text[])`;

export const SettingName = z.object({ name: z.string() });

export const DatabaseSetting = z.object({ role: z.string().nullable(), name: z.string() });
export type DatabaseSetting = z.output<typeof DatabaseSetting>;

/**
 * Names of the settings made for this database by ALTER DATABASE … SET or ALTER ROLE … IN DATABASE … SET.
 * @see https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html
 */
export const databaseSettingNames = (): Sql => sql`
  select r.rolname as role, lower(split_part(setting, '=', 1)) as name
    from pg_db_role_setting s
    join pg_database d on d.oid = s.setdatabase and d.datname = current_database()
    left join pg_roles r on r.oid = s.setrole,
    unnest(s.setconfig) as setting
   order by 1 nulls first, 2`;

/** Of these names, those this server does not know. A name with a dot is an extension's or an application's: always taken. */
export const unknownSettings = (names: readonly string[]): Sql => sql`
  select name from unnest(${names}::text[]) name where name not like '%.%' and current_setting(name, true) is null order by 1`;
