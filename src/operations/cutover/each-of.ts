import type { OperationContext } from '../../engine/operation.ts';

/** Databases at the same time: more would only wait for the processors of both servers. */
const AT_ONCE = 8;

/**
 * In a step of the cluster: the contexts of the databases that are switched over together. They share its signal and its sessions in the
 * maintenance databases, so what has a transaction there comes one after the other (`oneByOne`).
 */
export const contextsOf = (context: OperationContext, databases = context.run.databases): OperationContext[] =>
  databases.map((name) => ({
    ...context,
    source: context.sourceCluster.database(name),
    target: context.targetCluster.database(name),
  }));

/**
 * Does something for each of many databases, a few at a time, and gives its sessions back before the next one: a server has room for
 * few. What fails first ends it; those that are at it are waited for.
 */
export async function eachOf<C extends Pick<OperationContext, 'source'> & Partial<Pick<OperationContext, 'target'>>, T>(
  contexts: readonly C[],
  body: (context: C) => Promise<T>,
  atOnce = AT_ONCE,
): Promise<T[]> {
  // The only one keeps its sessions for what comes next.
  if (contexts.length === 1) return [await body(contexts[0]!)];
  const results: T[] = [];
  const queue = [...contexts.entries()];
  const drain = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [index, context] = next;
      try {
        results[index] = await body(context);
      } catch (error) {
        queue.length = 0;
        throw error;
      } finally {
        await Promise.all([context.source, context.target].map((side) => side && giveSessionBack(side)));
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, drain));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return results;
}

/** The same, one after the other. */
export const oneByOne = <C extends Pick<OperationContext, 'source' | 'target'>>(
  contexts: readonly C[],
  body: (context: C) => Promise<unknown>,
): Promise<unknown[]> => eachOf(contexts, body, 1);

/** The maintenance database's is the step's own. */
async function giveSessionBack(database: OperationContext['source']): Promise<void> {
  if (database.name !== database.cluster.maintenanceDatabase) await database.close();
}
