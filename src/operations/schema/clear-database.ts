import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import { NOT_USERS, NOT_USERS_EXTENSIONS } from '../../postgres/catalog/schemas.ts';
import { sql, trustedStatement } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';
import { dropJournal } from './restore-journal.ts';

/** Drops everything that users have in the target's database, so that it is as it came from template0. */
export async function clearDatabase(context: OperationContext): Promise<void> {
  const { target } = context;
  await dropJournal(context);
  await run(target, containers());
  await emptyPublic(context);
  await run(target, remains());
}

/** One by one: a transaction over everything could need more locks than there are. */
async function run(target: Database, statements: Sql): Promise<void> {
  for (const { statement } of await target.many(z.object({ statement: z.string() }), statements)) {
    await target.run(trustedStatement(statement));
  }
}

async function emptyPublic({ target, targetCluster }: OperationContext): Promise<void> {
  const { major } = await targetCluster.facts();
  await target.transaction(async () => {
    await target.run(sql`drop schema if exists public cascade`);
    await target.run(sql`create schema public`);
    await target.run(sql`comment on schema public is 'standard public schema'`);
    if (major >= 15) {
      await target.run(sql`alter schema public owner to pg_database_owner`);
      await target.run(sql`grant usage on schema public to public`);
    } else await target.run(sql`grant all on schema public to public`);
  });
}

/** Drops of what takes most of the rest along. */
const containers = (): Sql => sql`
  select statement from (
    select 1 as place, format('drop event trigger if exists %I', evtname) as statement from pg_event_trigger
    union all select 2, format('drop extension if exists %I cascade', extname) from pg_extension
     where oid >= 16384 and extname not in (${NOT_USERS_EXTENSIONS})
    union all
    select 3, format('drop schema if exists %I cascade', nspname) from pg_namespace
     where oid >= 16384 and nspname !~ '^pg_' and nspname not in ('public', ${NOT_USERS})) s
   order by place`;

/** Drops of what is in no schema. */
const remains = (): Sql => sql`
  select format('drop foreign data wrapper if exists %I cascade', fdwname) as statement
    from pg_foreign_data_wrapper where oid >= 16384
  union all
  select format('drop cast if exists (%s as %s) cascade', format_type(castsource, null), format_type(casttarget, null))
    from pg_cast where oid >= 16384
  union all select format('drop language if exists %I cascade', lanname) from pg_language where oid >= 16384
  union all select format('drop access method if exists %I cascade', amname) from pg_am where oid >= 16384`;
