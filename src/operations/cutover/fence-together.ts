import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { contextsOf } from './each-of.ts';
import { FenceOutput } from './fence-source.ts';
import { fenceThese, lookForUnfenced } from './fence-these.ts';

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
  output: z.strictObject({
    databases: z.array(FenceOutput.extend({ database: z.string() })),
    /** Applications have left them before. */
    opened: z.array(z.string()),
  }),

  async check(context) {
    const { fences, left, unfenced } = await lookForUnfenced(contextsOf(context));
    return unfenced.length > 0
      ? lacks(unfenced)
      : holds({
          databases: [...fences].map(([database, fence]) => ({ database, ...fence })),
          opened: [...left.keys()],
        });
  },

  apply(context, missing) {
    const names = missing.map(({ database }) => database);
    return fenceThese(contextsOf(context, names), missing);
  },
});
