import * as z from 'zod';
import { holds, lacks } from './operation.ts';
import type { AnyOperation, Operation, OperationContext } from './operation.ts';

/** What came of each operation that is done in one job with others. */
export const PartsOutput = z.strictObject({
  parts: z.array(
    z.strictObject({
      operation: z.string(),
      changed: z.boolean(),
      changes: z.unknown().optional(),
      output: z.unknown(),
    }),
  ),
});
export type PartsOutput = z.output<typeof PartsOutput>;

const Nothing = z.strictObject({});

/**
 * Operations on a database that are done one after the other in one job, with the same sessions and under one lock: for rows inside an
 * outage of many databases, where every job costs all of them time, and where a failure gives all of them back, so that none is tried
 * again alone. Each is checked, done and checked as in a job of its own.
 * @param parts take no input
 */
export const inOneJob = (
  bundle: Pick<AnyOperation, 'name' | 'title' | 'queue'> & { readonly parts: readonly AnyOperation[] },
): Operation<typeof Nothing, typeof PartsOutput> => ({
  ...bundle,
  scope: 'database',
  input: Nothing,
  output: PartsOutput,

  async check(context: OperationContext) {
    const parts: PartsOutput['parts'] = [];
    for (const { name, check } of bundle.parts) {
      const verdict = await check(context);
      if (!verdict.holds) return lacks([{ part: name, missing: verdict.missing }]);
      parts.push({ operation: name, changed: false, output: verdict.output });
    }
    return holds({ parts });
  },
});

/** Whether it changes anything, or only looks. */
export const isChanging = ({ apply, parts = [] }: AnyOperation): boolean =>
  apply !== undefined || parts.some(isChanging);
