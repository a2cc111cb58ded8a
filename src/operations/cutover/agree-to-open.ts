import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { agreeToOpen as agree, undecided } from './agreement.ts';
import { contextsOf } from './each-of.ts';
import { openDecided, replicating } from './finish-opening.ts';
import { openAmong } from './let-in.ts';
import { requireReady } from './require-ready.ts';

/**
 * All databases of the run are opened on the target, or none is: decided in one transaction on the source, while the fences of all of
 * them stand and are in time. Then applications are let in to all of them in the same moment: the first would gain nothing by waiting for
 * its own step, and the last would wait for all the others.
 * @see https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
 */
export const agreeToOpen = defineOperation({
  name: 'agree-to-open',
  title: 'All databases are opened together',
  scope: 'cluster',
  queue: 'cutover',
  locks: 'databases',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.int() }),

  async check(context) {
    const { databases } = context.run;
    const waiting = new Set(await undecided(context, databases));
    const open = await openAmong(context, databases);
    const isOpen = (name: string) => open.has(name) && !waiting.has(name);
    const closed = databases.filter((name) => !isOpen(name));
    // On the way back one is opened after the other: whoever was stopped in between has left the first ones replicating.
    const left = await replicating(contextsOf(context, databases.filter(isOpen)));
    const missing = [...closed, ...left.map(({ source }) => source.name)];
    return missing.length > 0 ? lacks(missing) : holds({ databases: databases.length });
  },

  async apply(context, missing) {
    const { databases } = context.run;
    await requireReady(contextsOf(context, await undecided(context, databases)));
    await agree(context, databases);
    await openDecided(contextsOf(context, missing));
  },
});
