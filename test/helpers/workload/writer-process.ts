/**
 * The process of the writers, apart from whatever is measured: nobody else's work delays what they see.
 * Started by writers.ts, which sends the options as the first message and `stop` as the last.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { JournalRecord } from './journal.ts';
import { Writer } from './writer.ts';
import type { WriterOptions } from './writer.ts';

export interface WritersStart extends Omit<WriterOptions, 'database' | 'record'> {
  readonly databases: readonly WriterOptions['database'][];
  readonly journalFile: string;
}

/** Sent twice a second. */
export interface WritersReport {
  readonly writes: number;
  readonly errors: number;
  /** Databases in which something has been written on the target. */
  readonly onTarget: number;
  /** Databases whose last write was on the source. */
  readonly onSource: number;
  /** Names of databases in which nothing has been written yet on this side. */
  readonly silent: readonly string[];
}

const FLUSH_MS = 100;
const REPORT_MS = 500;

// Ctrl-C goes to the whole group of processes: the parent decides when we end.
process.on('SIGINT', () => {});
// A parent that is gone will not stop us.
process.once('disconnect', () => process.exit(1));
process.once('message', (start) => void run(start as WritersStart));

async function run({ databases, journalFile, ...options }: WritersStart): Promise<void> {
  const file = openSync(journalFile, 'a');
  let lines: string[] = [];
  const flush = () => {
    if (lines.length > 0) writeSync(file, `${lines.join('\n')}\n`);
    lines = [];
  };
  const record = (entry: JournalRecord) => lines.push(JSON.stringify(entry));
  const writers = databases.map((database) => new Writer({ ...options, database, record }));
  const report = (): WritersReport => ({
    writes: sum(writers.map((writer) => writer.writes)),
    errors: sum(writers.map((writer) => writer.errors)),
    onTarget: writers.filter((writer) => writer.moved).length,
    onSource: writers.filter((writer) => writer.wroteOn === 'source').length,
    silent: databases.filter((_, index) => writers[index]!.writes === 0).map(({ name }) => name),
  });
  const timers = [setInterval(flush, FLUSH_MS), setInterval(() => process.send?.(report()), REPORT_MS)];
  process.on('message', (message) => {
    if (message === 'stop') for (const writer of writers) writer.stop();
  });
  await Promise.all(writers.map((writer) => writer.run()));
  for (const timer of timers) clearInterval(timer);
  flush();
  closeSync(file);
  process.send?.(report(), () => process.exit(0));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
