import type { Command } from 'commander';
import { resumeRun } from '../../queue/control.ts';
import { action, command } from '../command.ts';
import { pickRun } from '../pick-run.ts';
import { openSession } from '../session.ts';
import { steered } from '../steer.ts';

export const resume = (): Command =>
  command({
    name: 'resume',
    summary: 'carry a cancelled run on',
    description: 'Carries a cancelled run on from where it was; nothing that succeeded is done again.',
    examples: [
      ['pgconvoy resume upgrade-1123-0412-k3f', 'this run'],
      ['pgconvoy resume', 'the only cancelled one'],
    ],
  })
    .argument('[run]', 'id of the run')
    .action(
      action(async (invocation, named) => {
        await using session = await openSession(invocation, { works: true });
        const run = await pickRun(session, named, ['cancelled', 'cancelling'], 'was cancelled');
        const { retried } = await resumeRun(session.queues, run, session.steering);
        return await steered(session, run, `resumed: ${run}`, { retried });
      }),
    );
