import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

/** Of a role: before 9.5 there is no row security that anybody could bypass. */
export const bypassesRowSecurity = since('rowSecurity', fragment`rolbypassrls`, fragment`false`);

export const RoleAttributes = z.object({
  name: z.string(),
  /** By the words of ALTER ROLE: SUPERUSER, LOGIN, … and the connection limit and end of validity. */
  attributes: z.record(z.string(), z.string()),
});
export type RoleAttributes = z.output<typeof RoleAttributes>;

/**
 * Roles of users with their attributes, but not their passwords; not the predefined ones and not those of this LIKE pattern.
 * @see https://www.postgresql.org/docs/current/view-pg-roles.html
 */
export const roleAttributes = (ours: string): Sql => sql`
  select rolname::text as name,
         json_build_object('SUPERUSER', rolsuper::text, 'INHERIT', rolinherit::text, 'CREATEROLE', rolcreaterole::text,
           'CREATEDB', rolcreatedb::text, 'LOGIN', rolcanlogin::text, 'REPLICATION', rolreplication::text,
           'BYPASSRLS', ${bypassesRowSecurity}::text, 'CONNECTION LIMIT', rolconnlimit::text,
           'VALID UNTIL', coalesce(rolvaliduntil::text, 'infinity'))::jsonb as attributes
    from pg_roles
   where rolname !~ '^pg_' and rolname not like ${ours}
   order by 1`;

export const RoleName = z.object({ name: z.string() });

/** Roles whose password is an MD5 hash. For superusers. */
export const rolesWithMd5Password = (ours: string): Sql => sql`
  select rolname::text as name from pg_authid
   where rolpassword ~ '^md5[0-9a-f]{32}$' and rolname not like ${ours}
   order by 1`;
