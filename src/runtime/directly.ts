import type { OperationContext, Progress } from '../engine/operation.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import { createLogger } from '../log.ts';
import { runDdl } from '../operations/ddl/ddl.ts';
import type { DdlOutcome } from '../operations/ddl/ddl.ts';
import { planDdl } from '../operations/ddl/statements.ts';
import { resyncDatabase } from '../operations/drift/resync.ts';
import type { ResyncOutcome } from '../operations/drift/resync.ts';
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';
import { DatabaseLocks } from './locks.ts';

export type { DdlOutcome, ResyncOutcome };

/** What was done to one database, or why not. */
export type Done<T> = { readonly database: string } & (
  | { readonly ok: true; readonly outcome: T }
  | { readonly ok: false; readonly error: unknown }
);

export interface Directly {
  readonly databases: readonly SelectedDatabase[];
  readonly logLevel: string;
  readonly signal: AbortSignal;
  readonly progress: (database: string, progress: Progress) => void;
}

/**
 * Runs statements on both sides of each of these databases.
 * @throws ConfigError for statements that may not, before anything is touched
 */
export function ddlDirectly(
  clusters: Clusters,
  { text, by, ...where }: Directly & { readonly text: string; readonly by: string },
): Promise<Done<DdlOutcome>[]> {
  const plan = planDdl(text);
  return directly(clusters, where, 'ddl', (context) => runDdl(context, text.trim(), plan, by));
}

/** Brings the target's side of each of these databases to what the source is; `tables` are copied anew. */
export const resyncDirectly = (
  clusters: Clusters,
  { tables, ...where }: Directly & { readonly tables: readonly string[] },
): Promise<Done<ResyncOutcome>[]> => directly(clusters, where, 'resync', (context) => resyncDatabase(context, tables));

/**
 * Does something to databases at once, without the queue: a person waits for it, and whoever else works on such a database holds its
 * lock. One database that refuses stops no other.
 */
async function directly<T>(
  clusters: Clusters,
  { databases, signal, logLevel, progress }: Directly,
  name: string,
  body: (context: OperationContext) => Promise<T>,
): Promise<Done<T>[]> {
  const locks = new DatabaseLocks(clusters);
  const engine = await engineOf(clusters, signal);
  const queue = [...databases];
  const results = new Map<string, Done<T>>();
  const one = async (database: string): Promise<T> => {
    const lockLost = new AbortController();
    const all = AbortSignal.any([signal, lockLost.signal]);
    const release = await locks.hold(database, {
      signal: all,
      deadlineMs: clusters.settings.deadlines.lock,
      onLost: (error) => lockLost.abort(error),
      onWait: (holder) => progress(database, { done: 0, total: 1, note: `waiting for ${holder}` }),
    });
    const { context, close } = openContext(clusters, {
      applicationName: `pgconvoy/${name}`,
      engine,
      database,
      input: {},
      run: { id: name, databases: databases.map((each) => each.name), options: {} },
      signal: all,
      log: createLogger(logLevel),
      progress: (now) => progress(database, now),
    });
    try {
      return await body(context);
    } finally {
      await close();
      await release();
    }
  };
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const database = next.name;
      const done = await one(database).then(
        (outcome) => ({ database, ok: true, outcome }) as const,
        (error: unknown) => ({ database, ok: false, error }) as const,
      );
      signal.throwIfAborted();
      results.set(database, done);
    }
  };
  try {
    await Promise.all(Array.from({ length: clusters.settings.budgets.copies }, work));
  } finally {
    await locks.close();
  }
  return databases.flatMap(({ name: database }) => results.get(database) ?? []);
}
