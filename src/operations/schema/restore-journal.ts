import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import type { DumpEntry } from '../../postgres/dump.ts';
import { id, sql } from '../../postgres/sql.ts';

/**
 * Which entries of the dump are in the target's database already: a table there, so that an entry and its mark commit together and
 * a step that was killed goes on where it was. It also holds what is to be made after the copy, so that one dump serves both.
 */
const SCHEMA = 'pgconvoy';
const JOURNAL = id(SCHEMA, 'restore');

const PlannedEntry = z.object({
  key: z.string(),
  part: z.enum(['schema', 'late']),
  entry: z.custom<DumpEntry>((value) => typeof value === 'object' && value !== null),
});
/** An entry of the dump, with the key by which it is found again in a later dump. */
export type PlannedEntry = z.output<typeof PlannedEntry>;

/** Marks an entry as the same as long as its SQL is. */
export function planned(part: PlannedEntry['part'], entry: DumpEntry): PlannedEntry {
  const identity = JSON.stringify([entry.type, entry.schema, entry.name, entry.sql]);
  return { key: createHash('md5').update(identity).digest('hex'), part, entry };
}

/** Databases of jobs, which hold their lock, in which the journal was seen: nobody else takes it away. */
const seen = new WeakSet<Database>();

export async function journalExists(target: Database): Promise<boolean> {
  if (seen.has(target)) return true;
  const { found } = await target.one(
    z.object({ found: z.boolean() }),
    sql`select to_regclass('pgconvoy.restore') is not null as found`,
  );
  if (found) seen.add(target);
  return found;
}

/** Writes down what is to be made of these parts; what is made already and still part of the plan stays marked as such. */
export async function writeJournal(
  target: Database,
  parts: readonly PlannedEntry['part'][],
  entries: readonly PlannedEntry[],
): Promise<void> {
  const rows = JSON.stringify(entries.map((each, position) => ({ ...each, position })));
  await target.atOnce([
    sql`create schema if not exists ${id(SCHEMA)}`,
    sql`create table if not exists ${JOURNAL} (
          key text primary key, part text not null, position int not null, entry json not null, done boolean not null default false)`,
    sql`delete from ${JOURNAL}
         where part = any (${parts}::text[]) and key <> all (${entries.map((each) => each.key)}::text[])`,
    sql`insert into ${JOURNAL} (key, part, position, entry)
        select distinct on (key) key, part, position, entry
          from json_to_recordset(${rows}::json) as plan (key text, part text, position int, entry json) order by key, position
        on conflict (key) do update set part = excluded.part, position = excluded.position, entry = excluded.entry`,
  ]);
  seen.add(target);
}

/** What is still to be made, in the order of the dump; nothing where there is no journal. */
export async function pendingEntries(target: Database, part: PlannedEntry['part']): Promise<PlannedEntry[]> {
  if (!(await journalExists(target))) return [];
  return target.many(
    PlannedEntry,
    sql`select key, part, entry from ${JOURNAL} where part = ${part} and not done order by position`,
  );
}

export async function countPending(target: Database, part: PlannedEntry['part']): Promise<number> {
  if (!(await journalExists(target))) return 0;
  const { count } = await target.one(
    z.object({ count: z.number() }),
    sql`select count(*)::int as count from ${JOURNAL} where part = ${part} and not done`,
  );
  return count;
}

/** Forgets what could not be made, so that the next attempt dumps again and sees what was mended on the source. */
export async function forgetPending(target: Database, part: PlannedEntry['part']): Promise<void> {
  await target.run(sql`delete from ${JOURNAL} where part = ${part} and not done`);
}

/** The statement that marks entries as made; runs together with them. */
export function doneStatement(entries: readonly PlannedEntry[]): string {
  return `update ${JOURNAL.text} set done = true where key in (${entries.map(({ key }) => `'${key}'`).join(', ')});`;
}

/** Removes the journal; in the maintenance database the schema also holds the ledger and stays. */
export async function dropJournal({ target, targetCluster }: OperationContext): Promise<boolean> {
  if (!(await journalExists(target))) return false;
  seen.delete(target);
  if (target.name === targetCluster.cluster.maintenanceDatabase) await target.run(sql`drop table ${JOURNAL}`);
  else await target.run(sql`drop schema ${id(SCHEMA)} cascade`);
  return true;
}
