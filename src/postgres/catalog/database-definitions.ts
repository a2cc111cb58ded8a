import * as z from 'zod';
import { fragment, sql } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';
import { NOT_USERS, NOT_USERS_EXTENSIONS } from './schemas.ts';

export const DatabaseDefinition = z.object({
  name: z.string(),
  owner: z.string(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  /** c: the C library, i: ICU (15 and later), b: built in (17 and later). */
  provider: z.enum(['c', 'i', 'b']),
  /** Of ICU or the built-in provider. */
  locale: z.string().nullable(),
  icuRules: z.string().nullable(),
  tablespace: z.string(),
  isTemplate: z.boolean(),
  comment: z.string().nullable(),
  /** -1: no limit, -2: left behind by a DROP DATABASE that was interrupted. */
  connectionLimit: z.coerce.number(),
  /** As text; null: nobody has granted or revoked anything. */
  acl: z.string().nullable(),
  /** `name=value`, as ALTER DATABASE … SET (role null) and ALTER ROLE … IN DATABASE … SET left them. */
  settings: z.array(z.object({ role: z.string().nullable(), setting: z.string() })),
  /** Somebody but superusers can connect: a privilege of theirs, and room for a connection. */
  isOpen: z.boolean(),
});
export type DatabaseDefinition = z.output<typeof DatabaseDefinition>;

/** How a database was made, or no row where there is none. */
export const databaseDefinition = (name: string): Sql => databaseDefinitions([name]);

/**
 * How databases were made, those of them that there are. Columns that only some majors have are read by way of JSON.
 * @see https://www.postgresql.org/docs/current/catalog-pg-database.html
 */
export const databaseDefinitions = (names: readonly string[]): Sql => sql`
  select d.datname as name, pg_get_userbyid(d.datdba) as owner, pg_encoding_to_char(d.encoding) as encoding,
         d.datcollate::text as collate, d.datctype::text as ctype,
         coalesce(to_json(d)->>'datlocprovider', 'c') as provider,
         coalesce(to_json(d)->>'datlocale', to_json(d)->>'daticulocale') as locale,
         to_json(d)->>'daticurules' as "icuRules",
         t.spcname as tablespace, d.datistemplate as "isTemplate",
         shobj_description(d.oid, 'pg_database') as comment, d.datconnlimit as "connectionLimit", d.datacl::text as acl,
         coalesce((select json_agg(json_build_object('role', r.rolname, 'setting', c.setting) order by r.rolname, c.setting)
                     from pg_db_role_setting s
                     cross join unnest(s.setconfig) c (setting)
                     left join pg_roles r on r.oid = s.setrole
                    where s.setdatabase = d.oid and (s.setrole = 0 or r.rolname is not null)), '[]') as settings,
         d.datconnlimit <> 0 and exists (
           select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a where a.privilege_type = 'CONNECT')
           as "isOpen"
    from pg_database d join pg_tablespace t on t.oid = d.dattablespace
   where d.datname = any (${names}::text[])
   order by d.datname`;

export const DatabasePrivilege = z.object({
  /** Null: everybody (PUBLIC). */
  grantee: z.string().nullable(),
  grantor: z.string(),
  privilege: z.enum(['CREATE', 'CONNECT', 'TEMPORARY']),
  grantable: z.boolean(),
});
export type DatabasePrivilege = z.output<typeof DatabasePrivilege>;

export const PrivilegeOnDatabase = DatabasePrivilege.extend({ database: z.string() });

/** What everybody may do with a database by an ACL given as text, or by its owner's default where that is null. */
export const databasePrivileges = (name: string, acl: string | null): Sql => privilegesByAcl(new Map([[name, acl]]));

const unquoted = (name: Fragment): Fragment =>
  fragment`case when ${name} like '"%' then replace(substr(${name}, 2, length(${name}) - 2), '""', '"') else ${name} end`;

/** Of an item of an ACL, as they are written there; PUBLIC is empty. */
const granteeOf = fragment`substring(i.item from '^("(?:[^"]|"")*"|[^"=]*)=')`;
const grantorOf = fragment`substring(i.item from '/("(?:[^"]|"")*"|[^"/]*)$')`;

/** An item whose roles are still there: what was granted to others, or by them, nobody has any more, and the server would refuse the whole. */
const namesRoles = fragment`
  not exists (
    select from (values (${granteeOf}), (${grantorOf})) n (name)
     where n.name <> '' and not exists (select from pg_roles r where r.rolname = (${unquoted(fragment`n.name`)})::name))`;

export const AclNamedNow = z.object({ acl: z.string() });

/**
 * An ACL as text, without what names roles that are gone.
 * @param renamed what roles are called now, by the names in there
 */
export const aclNamedNow = (acl: string, renamed: ReadonlyMap<string, string>, gone: readonly string[]): Sql => {
  const names = sql`unnest(${[...renamed.keys()]}::text[], ${[...renamed.values()]}::text[])`;
  const now = (name: Fragment) => fragment`'"' || replace(${name}, '"', '""') || '"'`;
  return sql`
  select array(
    select coalesce(${now(fragment`g.now`)}, p.grantee) || '=' || p.privileges || '/' || coalesce(${now(fragment`b.now`)}, p.grantor)
      from (select ${granteeOf} as grantee, ${grantorOf} as grantor,
                   substring(i.item from '^(?:"(?:[^"]|"")*"|[^"=]*)=([^/]*)/') as privileges
              from unnest(${acl}::text[]) i (item)) p
      left join ${names} g (name, now) on g.name = ${unquoted(fragment`p.grantee`)}
      left join ${names} b (name, now) on b.name = ${unquoted(fragment`p.grantor`)}
     where not (${unquoted(fragment`p.grantee`)} = any (${gone}::text[]) or ${unquoted(fragment`p.grantor`)} = any (${gone}::text[])))::text as acl`;
};

/** The same of many databases, each with its ACL; what is given as text also where the database is not there. */
export const privilegesByAcl = (acls: ReadonlyMap<string, string | null>): Sql =>
  privileges(
    sql`unnest(${[...acls.keys()]}::text[], ${[...acls.values()]}::text[]) w (name, acl) left join pg_database d on d.datname = w.name`,
    sql`case when w.acl is null then acldefault('d', d.datdba)
             else array(select i.item::aclitem from unnest(w.acl::text[]) i (item) where ${namesRoles}) end`,
  );

/** The same of what a database has now. */
export const presentPrivileges = (name: string): Sql =>
  privileges(
    sql`(select ${name}::text as name) w join pg_database d on d.datname = w.name`,
    sql`coalesce(d.datacl, acldefault('d', d.datdba))`,
  );

const privileges = (databases: Sql, acl: Sql): Sql => sql`
  select w.name as database, g.rolname as grantee, pg_get_userbyid(a.grantor) as grantor, a.privilege_type as privilege,
         a.is_grantable as grantable
    from ${databases}
    cross join aclexplode(${acl}) a
    left join pg_roles g on g.oid = a.grantee
   where a.grantee = 0 or g.rolname is not null
   order by 1, 2 nulls first, 4`;

export const UserObjects = z.object({ count: z.coerce.number(), examples: z.array(z.string()) });

/**
 * How many objects users have made in this database, with a few names; what template0 and our own ledger hold is left out.
 * Objects of users have an OID from 16384 on.
 * @see https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT
 */
export const userObjects = (): Sql => sql`
  with objects (name) as (
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
       and n.nspname !~ '^pg_' and n.nspname not in (${NOT_USERS})
    union all
    select format('%I.%I()', n.nspname, p.proname) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.oid >= 16384 and n.nspname not in (${NOT_USERS})
    union all
    select format('type %I.%I', n.nspname, t.typname) from pg_type t join pg_namespace n on n.oid = t.typnamespace
     where t.oid >= 16384 and t.typtype in ('d', 'e', 'r') and n.nspname not in (${NOT_USERS})
    union all
    select format('schema %I', nspname) from pg_namespace
     where oid >= 16384 and nspname !~ '^pg_' and nspname not in ('public', ${NOT_USERS})
    union all
    select format('extension %I', extname) from pg_extension
     where oid >= 16384 and extname not in (${NOT_USERS_EXTENSIONS})
    union all
    select format('large object %s', oid) from pg_largeobject_metadata)
  select count(*)::float8 as count, (array_agg(name order by name))[1:5] as examples from objects
   having count(*) > 0`;

/** Those of the first that are not among the second. */
export function privilegesWithout(
  these: readonly DatabasePrivilege[],
  those: readonly DatabasePrivilege[],
): DatabasePrivilege[] {
  const keys = new Set(those.map((each) => JSON.stringify(each)));
  return these.filter((each) => !keys.has(JSON.stringify(each)));
}

/** The privileges on each database, without its name. */
export function privilegesPerDatabase(
  all: readonly z.output<typeof PrivilegeOnDatabase>[],
): ReadonlyMap<string, readonly DatabasePrivilege[]> {
  const of = new Map<string, DatabasePrivilege[]>();
  for (const { database, ...privilege } of all) {
    const known = of.get(database);
    if (known) known.push(privilege);
    else of.set(database, [privilege]);
  }
  return of;
}
