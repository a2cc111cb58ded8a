import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const RoleOfDatabase = z.object({ database: z.string(), name: z.string(), oid: z.string() });

/** The owners of these databases, and who has been granted something there, or has granted it. */
export const rolesOfDatabases = (names: readonly string[]): Sql => sql`
  with named (database, id) as (
    select d.datname, r.id
      from pg_database d
      cross join aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
      cross join unnest(array[d.datdba, a.grantee, a.grantor]) r (id)
     where d.datname = any (${names}::text[])
     union select datname, datdba from pg_database where datname = any (${names}::text[]))
  select n.database, r.rolname as name, r.oid::text as oid from named n join pg_roles r on r.oid = n.id order by 1, 2`;

export const RoleByOid = z.object({ name: z.string(), oid: z.string() });

/** What roles are called now, those of them that there are. */
export const rolesByOid = (oids: readonly string[]): Sql => sql`
  select rolname as name, oid::text as oid from pg_roles where oid = any (${oids}::text[]::oid[]) order by 1`;
