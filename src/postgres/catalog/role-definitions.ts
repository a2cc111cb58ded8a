import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { bypassesRowSecurity } from './role-attributes.ts';

export const RoleDefinition = z.object({
  name: z.string(),
  /** Made by initdb. */
  isBootstrap: z.boolean(),
  superuser: z.boolean(),
  inherit: z.boolean(),
  createrole: z.boolean(),
  createdb: z.boolean(),
  login: z.boolean(),
  replication: z.boolean(),
  bypassrls: z.boolean(),
  connectionLimit: z.number(),
  validUntil: z.string().nullable(),
  /** The hash as it is stored. Never log it. */
  password: z.string().nullable(),
  comment: z.string().nullable(),
  /** `name=value`, as ALTER ROLE … SET left them. */
  settings: z.array(z.string()),
});
export type RoleDefinition = z.output<typeof RoleDefinition>;

/**
 * Every role of users with its password hash: not the predefined ones, not ours. For superusers.
 * @see https://www.postgresql.org/docs/current/catalog-pg-authid.html
 */
export const roleDefinitions = (): Sql => sql`
  select rolname as name, a.oid = 10 as "isBootstrap", rolsuper as superuser, rolinherit as inherit, rolcreaterole as createrole,
         rolcreatedb as createdb, rolcanlogin as login, rolreplication as replication, ${bypassesRowSecurity} as bypassrls,
         rolconnlimit as "connectionLimit", rolvaliduntil::text as "validUntil", rolpassword as password,
         shobj_description(a.oid, 'pg_authid') as comment,
         coalesce((select json_agg(c order by c collate "C") from pg_db_role_setting s cross join unnest(s.setconfig) c
                    where s.setrole = a.oid and s.setdatabase = 0), '[]') as settings
    from pg_authid a
   where rolname !~ '^pg_' and rolname !~ '^pgconvoy'
   order by rolname`;

export const RoleMembership = z.object({
  role: z.string(),
  member: z.string(),
  admin: z.boolean(),
  /** Null before 16, where the member's own INHERIT decides. */
  inherit: z.boolean().nullable(),
  /** Null before 16, where every member may SET ROLE. */
  set: z.boolean().nullable(),
});
export type RoleMembership = z.output<typeof RoleMembership>;

/**
 * Who is a member of which role; several grants of the same membership (16 and later) count as one.
 * @see https://www.postgresql.org/docs/current/catalog-pg-auth-members.html
 */
export const roleMemberships = (): Sql => sql`
  select g.rolname as role, u.rolname as member, bool_or(m.admin_option) as admin,
         bool_or((to_json(m)->>'inherit_option')::boolean) as inherit, bool_or((to_json(m)->>'set_option')::boolean) as set
    from pg_auth_members m
    join pg_roles g on g.oid = m.roleid
    join pg_roles u on u.oid = m.member
   where u.rolname !~ '^pg_' and u.rolname !~ '^pgconvoy' and g.rolname !~ '^pgconvoy'
   group by 1, 2
   order by 1, 2`;

export const DroppableRole = z.object({ name: z.string() });

/** Those of these roles that exist and that nothing in any database depends on: no ownership, no privilege. */
export const droppableRoles = (names: readonly string[]): Sql => sql`
  select rolname as name from pg_roles a
   where rolname = any (${names}::text[])
     and not exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = a.oid)
   order by 1`;
