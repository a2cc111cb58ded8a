import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { contextsOf } from '../cutover/each-of.ts';
import { lookAtPositions, settlePositions } from './settle-positions.ts';

/** What `switch-reverse` does, for all databases that are switched over together. */
export const switchReverseTogether = defineOperation({
  name: 'switch-reverse-together',
  title: 'It is settled from where the rows of all databases travel back',
  scope: 'cluster',
  queue: 'cutover',
  locks: 'databases',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.int() }),

  async check(context) {
    const { databases } = context.run;
    const { missing } = await lookAtPositions(contextsOf(context));
    return missing.length > 0 ? lacks(missing) : holds({ databases: databases.length });
  },

  apply: settlePositions,
});
