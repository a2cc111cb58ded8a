import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { comparingSession } from '../../postgres/catalog/comparison.ts';
import type { Writing } from '../../postgres/catalog/comparison.ts';
import type { Database, StatementOptions } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { lit, sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';

/** Asks one side; each question sees what was committed before it, or what a snapshot holds. `bytes`: how much it reads. */
export type Read = <S extends z.ZodType>(row: S, statement: Sql, bytes?: number) => Promise<z.output<S>[]>;

export interface Sides {
  readonly source: Read;
  readonly target: Read;
}

export interface Reading {
  readonly writing: Pick<Writing, 'floatBits'>;
  /** No statement goes on longer than to this time of ours. */
  readonly deadline?: number | undefined;
  /** By side, the exported snapshot that is read instead of what is there now. */
  readonly snapshots?: { readonly source: string; readonly target: string } | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

/** More sessions only where they have something to do: below, they cost more than they bring. */
const SESSION_BYTES = 16 * 1_048_576;

/**
 * Runs `body` in several pairs of sessions side by side, as many as `comparison.workers` and the work allow. The first pair is the
 * job's own.
 */
export async function sideBySide(
  { source, target, settings }: OperationContext,
  { bytes, parts }: { readonly bytes: number; readonly parts: number },
  reading: Reading,
  body: (sides: Sides) => Promise<void>,
): Promise<void> {
  const count = Math.min(settings.comparison.workers, parts, 1 + Math.floor(bytes / SESSION_BYTES));
  const more = Array.from({ length: Math.max(0, count - 1) }, () => [source.fork(), target.fork()] as const);
  const pairs = [[source, target] as const, ...more];
  const ended = await Promise.allSettled(
    pairs.map(([there, here]) =>
      body({
        source: readerOf(there, { ...reading, snapshot: reading.snapshots?.source }),
        target: readerOf(here, { ...reading, snapshot: reading.snapshots?.target }),
      }),
    ),
  );
  await Promise.all(more.flat().map((session) => session.close()));
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
}

/** What is read at once: a limit of time would take longer to set. */
const FEW_BYTES = 4 * 1_048_576;

/** A session that prints values as the other side does. */
export function readerOf(
  database: Database,
  {
    writing,
    deadline,
    snapshot,
    lockTimeoutMs,
  }: Omit<Reading, 'snapshots'> & { readonly snapshot?: string | undefined },
): Read {
  let prepared: Promise<unknown> | undefined;
  return async (row, statement, bytes = Infinity) => {
    await (prepared ??= database.run(comparingSession(writing)));
    const options: StatementOptions = {
      ...(deadline === undefined || bytes < FEW_BYTES
        ? {}
        : { statementTimeoutMs: Math.max(1, deadline - Date.now()) }),
      ...(lockTimeoutMs === undefined ? {} : { lockTimeoutMs }),
    };
    if (snapshot === undefined) return database.many(row, statement, options);
    // One transaction for each question, so that nobody who changes a table waits for all of them.
    return database.transaction(async () => {
      await database.run(sql`set transaction isolation level repeatable read, read only`);
      await database.run(sql`set transaction snapshot ${lit(snapshot)}`);
      return database.many(row, statement, options);
    });
  };
}

/** A statement that our deadline has ended, not a person. */
export const isOutOfTime = (error: unknown, deadline: number | undefined): boolean =>
  deadline !== undefined &&
  error instanceof DatabaseError &&
  error.sqlstate === '57014' &&
  Date.now() >= deadline - CLOCK_MS;
const CLOCK_MS = 20;
