import type { Command } from 'commander';
import { approveRun } from '../../queue/control.ts';
import { action, command } from '../command.ts';
import { pickRun } from '../pick-run.ts';
import { openSession } from '../session.ts';
import { steered } from '../steer.ts';
import { whoAmI } from '../../runtime/who.ts';

export const approve = (): Command =>
  command({
    name: 'approve',
    summary: 'let a waiting run go on',
    description:
      'Approves what a run waits for, such as the cutover of an upgrade. RUN may be left out where only one run waits.',
    examples: [
      ['pgconvoy approve upgrade-1123-0412-k3f', 'this run'],
      ['pgconvoy approve', 'the only one that waits'],
    ],
  })
    .argument('[run]', 'id of the run')
    .action(
      action(async (invocation, named) => {
        await using session = await openSession(invocation, { works: true });
        const run = await pickRun(session, named, ['waiting-approval'], 'waits for approval');
        const { title } = await approveRun(session.queues, run, whoAmI());
        return await steered(session, run, `approved: ${title} (${run})`);
      }),
    );
