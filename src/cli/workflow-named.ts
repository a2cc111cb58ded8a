import { workflows } from '../../workflows/index.ts';
import type { Workflow } from '../engine/workflow.ts';
import { ConfigError } from '../errors.ts';

/** @throws ConfigError when there is no such workflow. */
export function workflowNamed(name: string): Workflow {
  const workflow = Object.hasOwn(workflows, name) ? workflows[name] : undefined;
  if (!workflow) {
    throw new ConfigError(`there is no workflow "${name}"`, {
      hint: `Take one of ${Object.keys(workflows).join(', ')}.`,
    });
  }
  return workflow;
}
