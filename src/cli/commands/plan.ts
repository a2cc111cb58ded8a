import type { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { planOf } from '../../engine/plan.ts';
import { action, command } from '../command.ts';
import { readIdentities, setsIdentities } from '../identities.ts';
import { renderIdentities } from '../render/identities.ts';
import { renderPlan } from '../render/plan.ts';
import { configuredOptions } from '../run-options.ts';
import { configOf, Servers } from '../servers.ts';
import { workflowNamed } from '../workflow-named.ts';

export const plan = (): Command =>
  command({
    name: 'plan',
    summary: 'show what a run would do; changes nothing',
    description:
      'Prints which databases would travel and which are left out and why, every stage with its steps, and what becomes of tables without a replica identity. Changes nothing.',
    examples: [
      ['pgconvoy plan', 'of an upgrade'],
      ['pgconvoy plan fix', 'and what each table without a replica identity would get, why, and at what cost'],
      ['pgconvoy plan stop', 'of the cutover alone'],
    ],
  })
    .argument('[workflow]', 'check, fix, setup, start, rehearse, stop, uninstall, discard or upgrade', 'upgrade')
    .action(
      action(async (invocation, name = 'upgrade') => {
        const { terminal } = invocation;
        const workflow = workflowNamed(name);
        const loaded = await configOf(invocation);
        await using servers = new Servers(loaded, terminal);
        const { selected, reported } = await servers.select();
        const planned = planOf(workflow, selected, configuredOptions(workflow, loaded.config));
        const engine = await servers.engine();
        const identities = setsIdentities(planned) ? await readIdentities(servers, selected) : undefined;
        terminal.print(renderPlan({ ...planned, engine }, reported, terminal.style, terminal.width));
        if (identities) terminal.print(`\n${renderIdentities(identities, terminal.style, terminal.width)}`.trimEnd());
        terminal.document({
          ok: true,
          engine,
          plan: planned,
          leftOut: reported,
          ...(identities ? { identities } : {}),
        });
        return ExitCode.ok;
      }),
    );
