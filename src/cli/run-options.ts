import type { Config } from '../config/schema.ts';
import { hookOption, optionsOf } from '../engine/workflow.ts';
import type { RunOptions, Workflow } from '../engine/workflow.ts';

/** What the configuration says of a workflow's rows, as options that the run keeps: a later change of the configuration does not bend it. */
export function configuredOptions(workflow: Workflow, { cutover, comparison }: Config): RunOptions {
  const configured: RunOptions = {
    together: cutover.together,
    reverse: cutover.reverse,
    compareOpened: comparison.mode !== 'strict' && comparison.mode !== 'none',
    pgbouncer: cutover.pgbouncer.length > 0,
    ...Object.fromEntries(cutover.hooks.map(({ at }) => [hookOption(at), true])),
  };
  return Object.fromEntries(Object.entries(configured).filter(([name]) => optionsOf(workflow).has(name)));
}
