import * as z from 'zod';
import { fragment, id, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { SCHEMA } from './ledger-notes.ts';

const LEDGER = id(SCHEMA, 'ledger');

export const Decided = z.object({ database: z.string() });

/** Also where the server says that something is committed before it is on its disk: the other cluster is opened on that word. */
const onDisk = fragment`
  set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'local'), true)`;

/**
 * Notes all of these databases as opened, where all their fences stand, are of this run, and are in time; else none.
 * Locks the fences' notes in the order of their names: a note that somebody else has removed meanwhile is not among them any more.
 * @see https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
 */
export const decideToOpen = (
  databases: readonly string[],
  { run, on }: { readonly run: string; readonly on: string },
): Sql => sql`
  with fence as (
    select database, before from ${LEDGER}
     where kind = 'fence' and database = any(${databases}::text[])
     order by database for update),
  ready as (
    select f.database, f.before->>'fencedAt' as fenced, p.before->>'lsn' as lsn
      from fence f join ${LEDGER} p on p.kind = 'fence-lsn' and p.database = f.database
     where f.before->>'run' = ${run} and clock_timestamp() < (f.before->>'deadline')::timestamptz),
  agreed as (
    select database,
           json_build_object('on', ${on}::text, 'run', ${run}::text, 'fencedAt', fenced, 'openedAt', clock_timestamp()::text, 'lsn', lsn, 'outageMs',
             round(extract(epoch from clock_timestamp() - fenced::timestamptz) * 1000))::text::jsonb as note
      from ready where (select count(*) from ready) = ${databases.length}::int),
  known as (
    update ${LEDGER} o set before = note, at = clock_timestamp() from agreed a
     where o.kind = 'opened' and o.database = a.database
    returning o.database),
  added as (
    insert into ${LEDGER} (kind, database, object, before)
    select 'opened', database, '', note from agreed where database not in (select database from known)
    returning database)
  select database, ${onDisk} from (select database from known union all select database from added) d`;

export const FenceAsNoted = z.object({
  database: z.string(),
  run: z.string().nullable(),
  together: z.boolean(),
  proven: z.boolean(),
  /** The deadline has passed by the clock of the server. */
  late: z.boolean(),
  /** Noted as opened on the other cluster, or being opened there. */
  decided: z.boolean(),
  /** It was given back before in its run. */
  again: z.boolean(),
});
export type FenceAsNoted = z.output<typeof FenceAsNoted>;

/**
 * The fences that are noted, all or those of some databases.
 * @param self system identifier of the cluster that is asked
 */
export const fencesAsNoted = (self: string, databases?: readonly string[]): Sql => sql`
  select f.database, f.before->>'run' as run,
         coalesce((f.before->>'together')::boolean, false) as together,
         coalesce((f.before->>'again')::boolean, false) as again,
         exists (select from ${LEDGER} p where p.kind = 'fence-lsn' and p.database = f.database) as proven,
         coalesce(clock_timestamp() >= (f.before->>'deadline')::timestamptz, false) as late,
         exists (select from ${LEDGER} o
                  where o.kind = 'opened' and o.database = f.database and o.before->>'on' is distinct from ${self}) as decided
    from ${LEDGER} f
   where f.kind = 'fence' and (${databases ?? null}::text[] is null or f.database = any(${databases ?? null}::text[]))
   order by f.database`;

export const PauseAsNoted = FenceAsNoted.pick({ database: true, run: true, together: true, late: true, decided: true });

/**
 * Databases that have no fence, and somebody waits in front of them. Late where that has lasted as long as a fence may.
 * @param self system identifier of the cluster that is asked
 */
export const pausesAsNoted = (self: string): Sql => sql`
  select p.database, max(p.before->>'run') as run, bool_or(coalesce((p.before->>'together')::boolean, false)) as together,
         bool_or(coalesce(extract(epoch from clock_timestamp() - p.at) * 1000 >= (p.before->>'outage')::float8, false)) as late,
         exists (select from ${LEDGER} o
                  where o.kind = 'opened' and o.database = p.database and o.before->>'on' is distinct from ${self}) as decided
    from ${LEDGER} p
   where p.kind = 'pgbouncer-pause'
     and not exists (select from ${LEDGER} f where f.kind = 'fence' and f.database = p.database)
   group by p.database
   order by p.database`;

export const GivenBackAsNoted = z.object({
  database: z.string(),
  run: z.string(),
  why: z.string(),
  /** When it was noted. */
  at: z.string().optional(),
});
export type GivenBackAsNoted = z.output<typeof GivenBackAsNoted>;

/** Databases that were given back while their runs were not over. */
export const givenBackAsNoted = (): Sql => sql`
  select database, before->>'run' as run, before->>'why' as why, at::text from ${LEDGER} where kind = 'given-back' order by database`;

/** Of one run: databases that it may fence again, since somebody asks for it. */
export const forgetGivenBack = (run: string, databases: readonly string[]): Sql => sql`
  delete from ${LEDGER}
   where kind = 'given-back' and before->>'run' = ${run} and database = any(${databases}::text[])`;
