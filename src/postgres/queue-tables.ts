/** What is asked of the tables in which BullMQ keeps its jobs; their schema is in the search path of the session. */
import * as z from 'zod';
import { systemIdentifier } from './catalog/server.ts';
import { lit, sql } from './sql.ts';
import type { Sql } from './sql.ts';

export const QueueGreeting = z.object({
  version: z.string(),
  inRecovery: z.boolean(),
  systemIdentifier: z.string(),
  fsync: z.boolean(),
  /** Whether the tables are there. */
  made: z.boolean(),
});
export type QueueGreeting = z.output<typeof QueueGreeting>;

export const QueueVersion = z.object({ versionNum: z.coerce.number(), version: z.string() });
export const queueVersion = (): Sql =>
  sql`select current_setting('server_version_num') as "versionNum", current_setting('server_version') as version`;

export const queueGreeting = (schema: string): Sql => sql`
  select current_setting('server_version') as version, pg_is_in_recovery() as "inRecovery",
         ${systemIdentifier} as "systemIdentifier", current_setting('fsync')::bool as fsync,
         exists (select from pg_tables where schemaname = ${schema} and tablename = 'migration') as made`;

const TYPES = { active: 'active', waiting: 'waiting', delayed: 'delayed', failed: 'failed' } as const;
export const JobRow = z.object({
  queue: z.string(),
  id: z.string(),
  state: z.enum(TYPES),
  due: z.number().nullable(),
});

/** One part per state, since each has an index of its own. */
export const jobsInState = (queues: readonly string[], states: readonly (keyof typeof TYPES)[]): Sql =>
  states
    .map(
      (state) => sql`
        select queue, id, state::text, process_at_ms::float8 as due
          from job where queue = any(${queues}::text[]) and state = ${lit(state)}`,
    )
    .reduce((all, part) => sql`${all} union all ${part}`);

const Text = z.string().nullable();
export const JobFieldsRow = z.object({
  ats: Text,
  processedOn: Text,
  finishedOn: Text,
  failedReason: Text,
  returnvalue: Text,
  progress: Text,
  pb: Text,
  timestamp: Text,
  exists: z.boolean(),
});

/** A row per job that is asked for, in the same order. */
export const jobFields = (queues: readonly string[], ids: readonly string[]): Sql => sql`
  select j.attempts_started::text as ats, j.processed_at_ms::text as "processedOn",
         case when j.state in ('completed', 'failed') then j.finished_at_ms::text end as "finishedOn",
         j.failed_reason as "failedReason",
         case when j.state = 'completed' then coalesce(j.return_value::text, 'null') end as returnvalue,
         j.progress::text as progress, j.processed_by as pb, j.added_at_ms::text as timestamp,
         j.id is not null as exists
    from unnest(${queues}::text[], ${ids}::text[]) with ordinality as n(queue, id, at)
    left join job j on j.queue = n.queue and j.id = n.id
   order by n.at`;

export const LogRow = z.object({ lines: z.array(z.string()) });
/** A row per job that is asked for, in the same order. */
export const jobLogs = (queues: readonly string[], ids: readonly string[]): Sql => sql`
  select coalesce(array_agg(l."row" order by l.idx) filter (where l.idx is not null), '{}') as lines
    from unnest(${queues}::text[], ${ids}::text[]) with ordinality as n(queue, id, at)
    left join job_log l on l.queue = n.queue and l.job_id = n.id
   group by n.at
   order by n.at`;

export const ChildRow = z.object({ id: z.string() });
export const completedChildren = (queue: string, id: string): Sql => sql`
  select child_id as id from job_dependency
   where parent_queue = ${queue} and parent_id = ${id} and status = 'processed'`;

export const CompletedRow = z.object({ id: z.string(), at: z.number() });
export const completedSince = (queue: string, at: number): Sql => sql`
  select id, finished_at_ms::float8 as at from job
   where queue = ${queue} and state = 'completed' and finished_at_ms >= ${at}
   order by finished_at_ms`;

export const SessionName = z.object({ name: z.string() });
/** Sessions to this database whose application_name begins so. */
export const sessionsNamed = (prefix: string): Sql => sql`
  select distinct application_name as name from pg_stat_activity
   where datname = current_database() and starts_with(application_name, ${prefix})`;

/** Notes live beside what BullMQ knows of its queues, under a name that no queue has. */
const notesOf = (run: string): string => `control:${run}`;

export const NoteRow = z.object({ run: z.string(), field: z.string(), text: z.string() });
export const notes = (runs: readonly string[]): Sql => sql`
  select substr(queue, length('control:') + 1) as run, field, value as text from meta
   where queue = any(${runs.map(notesOf)}::text[])`;
export const addNote = (run: string, field: string, text: string): Sql => sql`
  insert into meta (queue, field, value) values (${notesOf(run)}, ${field}, ${text}) on conflict do nothing`;
export const writeNote = (run: string, field: string, text: string): Sql => sql`
  insert into meta (queue, field, value) values (${notesOf(run)}, ${field}, ${text})
  on conflict (queue, field) do update set value = excluded.value`;
export const removeNotes = (run: string, fields: readonly string[]): Sql => sql`
  delete from meta where queue = ${notesOf(run)} and field = any(${fields}::text[])`;

export const Held = z.object({ held: z.boolean() });
/** Held by the session that asks. */
export const tryToBeAlone = (schema: string): Sql =>
  sql`select pg_try_advisory_lock(hashtext('pgconvoy'), hashtext(${schema})) as held`;
