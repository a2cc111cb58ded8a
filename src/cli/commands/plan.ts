import type { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { planOf } from '../../engine/plan.ts';
import { action, command } from '../command.ts';
import { renderPlan } from '../render/plan.ts';
import { configOf, Servers } from '../servers.ts';
import { workflowNamed } from '../workflow-named.ts';

export const plan = (): Command =>
  command({
    name: 'plan',
    summary: 'show what a run would do; changes nothing',
    description:
      'Prints which databases would travel and which are left out and why, and every stage with its steps, before anything is done. Changes nothing.',
    examples: [
      ['pgconvoy plan', 'of an upgrade'],
      ['pgconvoy plan stop', 'of the cutover alone'],
    ],
  })
    .argument('[workflow]', 'check, fix, setup, start, stop, uninstall, discard or upgrade', 'upgrade')
    .action(
      action(async (invocation, name = 'upgrade') => {
        const { terminal } = invocation;
        const workflow = workflowNamed(name);
        await using servers = new Servers(await configOf(invocation), terminal);
        const { selected, reported } = await servers.select();
        const planned = planOf(workflow, selected);
        terminal.print(renderPlan(planned, reported, terminal.style, terminal.width));
        terminal.document({ ok: true, plan: planned, leftOut: reported });
        return ExitCode.ok;
      }),
    );
