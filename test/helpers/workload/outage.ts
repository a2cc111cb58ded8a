/** The write outage as the applications saw it. */
import { writesOf } from './journal.ts';
import type { JournalRecord } from './journal.ts';

export interface Outage {
  readonly database: string;
  /** From the last acknowledged write on the source to the first one on the target. Undefined: it never moved. */
  readonly milliseconds: number | undefined;
  readonly sourceWrites: number;
  readonly targetWrites: number;
}

export function outageOf(database: string, records: readonly JournalRecord[]): Outage {
  const acknowledged = (side: 'source' | 'target') =>
    writesOf(records, side).filter(({ outcome }) => outcome === 'acknowledged');
  const source = acknowledged('source');
  const target = acknowledged('target');
  const last = source.at(-1)?.at;
  const first = target[0]?.at;
  return {
    database,
    milliseconds: last === undefined || first === undefined ? undefined : first - last,
    sourceWrites: source.length,
    targetWrites: target.length,
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
