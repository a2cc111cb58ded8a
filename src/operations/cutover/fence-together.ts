import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { contextsOf } from './each-of.ts';
import { FenceOutput } from './fence-source.ts';
import { lookAtFences } from './fence.ts';
import { fenceThese } from './fence-these.ts';
import { openedDatabases } from './opened.ts';

/**
 * Nobody writes to any database that is switched over together with others: here their write outage begins, at the same time. Each has its
 * own note and its own proof, as from `fence-source`, which takes it back.
 * @see https://www.postgresql.org/docs/current/sql-revoke.html
 */
export const fenceTogether = defineOperation({
  name: 'fence-together',
  title: 'Nobody can write to the source',
  scope: 'cluster',
  queue: 'cutover',
  locks: 'databases',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.array(FenceOutput.extend({ database: z.string() })) }),

  async check(context) {
    const contexts = contextsOf(context);
    const looks = await lookAtFences(contexts);
    const fences = contexts.map((each) => ({ context: each, ...looks.get(each.source.name)! }));
    const unfenced = fences.filter(({ fence }) => !fence);
    if (unfenced.length > 0) {
      // What applications have left before belongs to its owner, fence and all.
      const opened = await openedDatabases(context.targetLedger, context.targetCluster);
      const missing = unfenced.filter(({ context: { source } }) => !opened.has(source.name));
      if (missing.length > 0) return lacks(missing);
    }
    return holds({
      databases: fences.flatMap(({ context: { source }, fence }) =>
        fence ? [{ database: source.name, ...fence }] : [],
      ),
    });
  },

  apply: (_context, missing) => fenceThese(missing),
});
