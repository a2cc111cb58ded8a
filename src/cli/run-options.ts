import { stop } from '../../workflows/stop.ts';
import type { Config } from '../config/schema.ts';
import { hookOption, optionsOf } from '../engine/workflow.ts';
import type { RunOptions, Workflow } from '../engine/workflow.ts';

/** What the configuration says of a workflow's rows, as options that the run keeps: a later change of the configuration does not bend it. */
export function configuredOptions(workflow: Workflow, { cutover, comparison, deadlines }: Config): RunOptions {
  const configured: RunOptions = {
    together: cutover.together,
    reverse: cutover.reverse,
    compareOpened: comparison.mode !== 'strict' && comparison.mode !== 'none',
    pgbouncer: cutover.pgbouncer.length > 0,
    ...Object.fromEntries(cutover.hooks.map(({ at }) => [hookOption(at), true])),
  };
  // A rehearsal keeps those of the cutover, to tell what of it was left out.
  const known = optionsOf(workflow.name === 'rehearse' ? stop : workflow);
  const asked = Object.entries(configured).filter(([name]) => known.has(name));
  const outage = workflow.rows.some((row) => 'operation' in row && row.policy.startsOutage)
    ? { outage: deadlines.outage }
    : {};
  return { ...Object.fromEntries(asked), ...outage, ...workflow.options };
}
