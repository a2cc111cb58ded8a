/** Twelve steps that do nothing, with an approval in the middle: what many databases cost the queue, the board and whoever looks. */
import * as z from 'zod';
import { defineOperation, holds } from '../src/engine/operation.ts';
import { approval, defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';

const rows = Array.from({ length: 12 }, (_, index) =>
  eachDatabase(
    defineOperation({
      name: `step-${index}`,
      title: `step ${index} does nothing`,
      scope: 'database',
      input: z.object({}),
      output: z.object({}),
      check: async () => holds({}),
    }),
  ),
);

export const idle = defineWorkflow({
  name: 'idle',
  title: 'Do nothing',
  rows: [...rows.slice(0, 6), approval('Go on?'), ...rows.slice(6)],
});

export const BUDGETS = { copies: 4, tableWorkers: 1, indexWorkers: 1, operations: 8, cutovers: 4 };
