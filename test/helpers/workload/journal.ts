/** What the writers did, as they saw it: the record that the proof is held against. */
import { readFileSync } from 'node:fs';
import type { ChangeKind } from './workload.ts';

export type WriterSide = 'source' | 'target';

export interface Change {
  /** Index in the database's `written`. */
  readonly table: number;
  readonly kind: ChangeKind;
  readonly token: string;
  /** Of the row afterwards; of a deleted row the last one it had. */
  readonly version: number;
}

/** One transaction. Times are milliseconds since 1970, with fractions. */
export interface WriteRecord {
  readonly type: 'write';
  readonly database: string;
  readonly side: WriterSide;
  /** `unknown`: the connection went away before the server said whether it was committed: both may be. */
  readonly outcome: 'acknowledged' | 'unknown';
  readonly startedAt: number;
  readonly at: number;
  readonly changes: readonly Change[];
}

/** A value taken from a free sequence. */
interface SequenceRecord {
  readonly type: 'value';
  readonly database: string;
  readonly side: WriterSide;
  readonly at: number;
  /** Index in the database's `sequences`. */
  readonly sequence: number;
  readonly value: string;
}

/** An error that the application saw. */
interface ErrorRecord {
  readonly type: 'error';
  readonly database: string;
  readonly side: WriterSide;
  readonly at: number;
  readonly code: string;
  readonly message: string;
  /** The database refuses or ends the session, as a fence does; anything else no application should see. */
  readonly refused: boolean;
}

export type JournalRecord = WriteRecord | SequenceRecord | ErrorRecord;

/** Reads what a writer process has flushed. */
export function readJournal(file: string): JournalRecord[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JournalRecord);
}

/** Records of each database, in the order in which they happened. */
export function byDatabase(records: readonly JournalRecord[]): ReadonlyMap<string, readonly JournalRecord[]> {
  const groups = new Map<string, JournalRecord[]>();
  for (const record of records) {
    const group = groups.get(record.database);
    if (group) group.push(record);
    else groups.set(record.database, [record]);
  }
  return groups;
}

/** What a row must be at the end: one of these versions, or `gone`. More than one only after an unknown outcome. */
export type Expected = ReadonlySet<number | 'gone'>;

/**
 * What each row that was touched must be after these writes, per table (by index), from its token. An unknown write leaves both
 * possibilities; the writers never touch such a row again.
 */
export function replay(writes: readonly WriteRecord[], tables: number): ReadonlyMap<string, Expected>[] {
  const state = Array.from({ length: tables }, () => new Map<string, Expected>());
  for (const write of writes) {
    for (const change of write.changes) {
      const rows = state[change.table]!;
      const before = rows.get(change.token) ?? startOf(change);
      const after = change.kind === 'delete' ? ('gone' as const) : change.version;
      rows.set(change.token, new Set(write.outcome === 'unknown' ? [...before, after] : [after]));
    }
  }
  return state;
}

/** A row that no write before has touched: a seed, or not there yet. */
function startOf(change: Change): Expected {
  return new Set([change.kind === 'insert' ? ('gone' as const) : 0]);
}

export function writesOf(records: readonly JournalRecord[], side?: WriterSide): WriteRecord[] {
  return records.filter(
    (record): record is WriteRecord => record.type === 'write' && (side === undefined || record.side === side),
  );
}
