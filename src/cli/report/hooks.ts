import * as z from 'zod';
import type { StepView } from '../../queue/types.ts';
import type { ReportedHook } from './report.ts';

const Ran = z.object({
  at: z.string(),
  ran: z.array(
    z.object({
      program: z.string(),
      milliseconds: z.number(),
      attempts: z.number(),
      failure: z.string().optional(),
    }),
  ),
});

/** What became of the operator's commands, in the order in which they ran. */
export const hooksOf = (steps: readonly StepView[]): ReportedHook[] =>
  steps.flatMap(({ operation, database = null, output }) => {
    const told = operation.startsWith('run-hooks') ? Ran.safeParse(output).data : undefined;
    return (told?.ran ?? []).map(({ failure = null, ...hook }) => ({ at: told!.at, database, ...hook, failure }));
  });
