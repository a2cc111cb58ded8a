import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { NOT_USERS } from '../../postgres/catalog/schemas.ts';
import { fragment, id, join, sql } from '../../postgres/sql.ts';
import type { Fragment, Sql } from '../../postgres/sql.ts';

const Lacking = z.object({
  kind: z.enum(['database', 'schema', 'table']),
  schema: z.string().nullable(),
  name: z.string(),
});
type Lacking = z.output<typeof Lacking>;

/** Objects in one GRANT: keeps the statement short enough to read in a log. */
const AT_ONCE = 500;

const PRIVILEGE: Readonly<Record<Lacking['kind'], Fragment>> = {
  database: fragment`connect on database`,
  schema: fragment`usage on schema`,
  table: fragment`select on table`,
};

/**
 * The replication role may connect to the database and read its tables. From 14 on pg_read_all_data does the second part; before,
 * each schema and table is granted. Only what is missing is granted, so that other privileges stay as they are written.
 * @see https://www.postgresql.org/docs/current/sql-grant.html
 */
export const grantReplicationRole = defineOperation({
  name: 'grant-replication-role',
  title: 'The replication role can read every table',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({ role: z.string() }),

  async check({ source, settings }) {
    const missing = await source.many(Lacking, lacking(settings.replication.role));
    return missing.length > 0 ? lacks(missing) : holds({ role: settings.replication.role });
  },

  async apply({ source, settings }, missing) {
    for (const { objects, privilege } of batches(missing)) {
      await source.run(sql`grant ${privilege} ${objects} to ${id(settings.replication.role)}`);
    }
  },

  async undo({ source, settings }: OperationContext) {
    const granted = await source.many(Lacking, grantedTo(settings.replication.role));
    for (const { objects, privilege } of batches(granted)) {
      await source.run(sql`revoke ${privilege} ${objects} from ${id(settings.replication.role)}`);
    }
    return granted.length > 0;
  },
});

function batches(objects: readonly Lacking[]): { readonly privilege: Fragment; readonly objects: Fragment }[] {
  return (['database', 'schema', 'table'] as const).flatMap((kind) => {
    const names = objects
      .filter((object) => object.kind === kind)
      .map((object) => (object.schema === null ? id(object.name) : id(object.schema, object.name)));
    return Array.from({ length: Math.ceil(names.length / AT_ONCE) }, (_, index) => ({
      privilege: PRIVILEGE[kind],
      objects: join(names.slice(index * AT_ONCE, (index + 1) * AT_ONCE)),
    }));
  });
}

/** What a role may not yet do and must, in the database of the session. A role that is not there may do nothing. */
const lacking = (role: string): Sql => sql`
  with role as (select ${role}::text as name, exists (select from pg_roles where rolname = ${role}) as found),
       tables as (
         select c.oid, c.relname, n.oid as nspoid, n.nspname
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'p') and c.relpersistence = 'p'
            and n.nspname not in (${NOT_USERS})
            and not exists (select from pg_depend d
                             where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
  select 'database' as kind, null as schema, current_database()::text as name
    from role where case when found then not has_database_privilege(role.name, current_database(), 'connect') else true end
  union all
  select distinct 'schema', null, nspname from tables, role
   where case when found then not has_schema_privilege(role.name, nspoid, 'usage') else true end
  union all
  select 'table', nspname, relname from tables, role
   where case when found then not has_table_privilege(role.name, tables.oid, 'select') else true end`;

/** What was granted to a role itself in the database of the session: connect, usage of schemas, select. */
const grantedTo = (role: string): Sql => sql`
  with role as (select oid from pg_roles where rolname = ${role})
  select 'database' as kind, null as schema, d.datname as name
    from pg_database d, role
   where d.datname = current_database() and exists (select from aclexplode(d.datacl) a where a.grantee = role.oid)
  union all
  select 'schema', null, n.nspname from pg_namespace n, role
   where exists (select from aclexplode(n.nspacl) a where a.grantee = role.oid)
  union all
  select 'table', n.nspname, c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace, role
   where c.relkind in ('r', 'p') and exists (select from aclexplode(c.relacl) a where a.grantee = role.oid)`;
