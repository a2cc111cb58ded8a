import * as z from 'zod';
import { fragment, join, lit, sql, trusted } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const WayToWrite = z.object({ role: z.string(), how: z.string() });
export type WayToWrite = z.output<typeof WayToWrite>;

/** Predefined roles that let nobody change a row. */
const HARMLESS = [
  'pg_monitor',
  'pg_read_all_settings',
  'pg_read_all_stats',
  'pg_stat_scan_tables',
  'pg_read_all_data',
  'pg_signal_backend',
  'pg_use_reserved_connections',
];

/** By these everybody can make large objects of their own, whatever else they may not. */
const MAKERS = ['lo_creat(integer)', 'lo_create(oid)', 'lo_from_bytea(oid,bytea)'];
const isMaker = fragment`f.oid = any (array[${join(MAKERS.map((each) => lit(each)))}]::regprocedure[]::oid[])`;

/**
 * By what these roles could change something in the current database: a privilege of theirs, of a role they belong to or of everybody; a few
 * ways, no row where there is none. Temporary tables are no matter. What everybody may do by default with large objects is left out,
 * see `largeObjectMakers`.
 * @see https://www.postgresql.org/docs/current/ddl-priv.html
 */
export const waysToWrite = (roles: readonly string[]): Sql => sql`
  with recursive
  belongs (id) as (
    select oid from pg_roles where rolname = any (${roles}::text[])
    union select m.roleid from pg_auth_members m join belongs b on b.id = m.member),
  holder (id, name) as (
    select id, pg_get_userbyid(id)::text from belongs union all select 0, 'PUBLIC'),
  granted (id, how) as (
    select p.grantee, p.privilege_type || ' on ' || c.oid::regclass
      from pg_class c cross join aclexplode(c.relacl) p
     where c.relacl is not null and c.relpersistence <> 't' and c.oid <> 'pg_settings'::regclass
       and p.privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'MAINTAIN')
    union all
    select p.grantee, 'USAGE on ' || c.oid::regclass
      from pg_class c cross join aclexplode(c.relacl) p
     where c.relkind = 'S' and c.relacl is not null and c.relpersistence <> 't' and p.privilege_type = 'USAGE'
    union all
    select p.grantee, format('%s of a column of %s', p.privilege_type, a.attrelid::regclass)
      from pg_attribute a cross join aclexplode(a.attacl) p
     where a.attacl is not null and p.privilege_type in ('INSERT', 'UPDATE')
    union all
    select p.grantee, 'CREATE on schema ' || quote_ident(n.nspname)
      from pg_namespace n cross join aclexplode(n.nspacl) p
     where n.nspacl is not null and p.privilege_type = 'CREATE'
    union all
    select p.grantee, 'CREATE on database ' || quote_ident(d.datname)
      from pg_database d cross join aclexplode(d.datacl) p
     where d.datname = current_database() and p.privilege_type = 'CREATE'
    union all
    select p.grantee, 'EXECUTE on ' || f.oid::regprocedure || ', which runs with the rights of its owner'
      from pg_proc f cross join aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) p
     where f.prosecdef and p.privilege_type = 'EXECUTE'
       and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    union all
    select p.grantee, 'EXECUTE on ' || f.oid::regprocedure
      from pg_proc f cross join aclexplode(f.proacl) p
     where f.proacl is not null and p.grantee <> 0
       and ${isMaker}
    union all
    select p.grantee, 'UPDATE on large object ' || l.oid
      from pg_largeobject_metadata l cross join aclexplode(l.lomacl) p
     where l.lomacl is not null and p.privilege_type = 'UPDATE'
    union all
    select 0, 'lo_compat_privileges = on' where current_setting('lo_compat_privileges') = 'on'
    union all
    select r.oid, case when r.rolsuper then 'it is a superuser' when r.rolcreaterole then 'it has CREATEROLE'
                       else 'what ' || r.rolname || ' may do' end
      from pg_roles r
     where r.rolsuper or r.rolcreaterole
        or r.rolname like 'pg\\_%' and not r.rolname = any (${HARMLESS}::text[])
    union all
    select s.refobjid, case when s.dbid = 0 then 'it owns the database' else 'it owns ' || pg_describe_object(s.classid, s.objid, 0) end
      from pg_shdepend s
      join pg_database d on d.datname = current_database()
                        and (s.dbid = d.oid or s.dbid = 0 and s.classid = 'pg_database'::regclass and s.objid = d.oid)
     where s.refclassid = 'pg_authid'::regclass and s.deptype = 'o'
       and not exists (select from pg_class c where s.classid = 'pg_class'::regclass and c.oid = s.objid and c.relpersistence = 't')
       and not exists (select from pg_proc f join pg_namespace n on n.oid = f.pronamespace
                        where s.classid = 'pg_proc'::regclass and f.oid = s.objid and n.nspname like 'pg\\_temp\\_%'))
  select holder.name as role, granted.how from granted join holder on holder.id = granted.id
   order by 1, 2
   limit 20`;

export const LargeObjectMaker = z.object({ signature: z.string() });

/** Functions by which everybody may make large objects of their own, whatever else they may not. */
export const largeObjectMakers = (): Sql => sql`
  select f.oid::regprocedure::text as signature
    from pg_proc f
   where ${isMaker}
     and exists (select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) p
                  where p.grantee = 0 and p.privilege_type = 'EXECUTE')
   order by 1`;

/** @see https://www.postgresql.org/docs/current/lo-implementation.html */
export const withdrawMakers = (signatures: readonly string[]): Sql =>
  sql`revoke execute on function ${known(signatures)} from public`;
export const giveBackMakers = (signatures: readonly string[]): Sql =>
  sql`grant execute on function ${known(signatures)} to public`;

const known = (signatures: readonly string[]) =>
  join(MAKERS.filter((each) => signatures.includes(each)).map((each) => trusted(each)));
