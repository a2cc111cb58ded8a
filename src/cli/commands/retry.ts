import type { Command } from 'commander';
import { retrySteps } from '../../queue/control.ts';
import { action, command } from '../command.ts';
import { pickRun } from '../pick-run.ts';
import { openSession } from '../session.ts';
import { steered } from '../steer.ts';
import { plural } from '../render/text.ts';

interface RetryOptions {
  readonly database?: string;
  readonly step?: string;
}

export const retry = (): Command =>
  command({
    name: 'retry',
    summary: 'take failed steps up again',
    description:
      'Takes the failed steps of a run up again, after their cause was repaired: all of them, or those of one database or one step. ' +
      'Nothing that succeeded is done again, except where a database was given back: it is fenced anew, and what comes behind the fence done once more.',
    examples: [
      ['pgconvoy retry', 'all failed steps of the only run that has any'],
      ['pgconvoy retry upgrade-1123-0412-k3f --database orders', 'of one database'],
      ['pgconvoy retry upgrade-1123-0412-k3f --step create-slot', 'one step, in every database where it failed'],
    ],
  })
    .argument('[run]', 'id of the run')
    .option('--database <name>', 'only this database')
    .option('--step <key>', 'only this step')
    .action(
      action<RetryOptions>(async (invocation, named) => {
        await using session = await openSession(invocation, { works: true });
        const run = await pickRun(session, named, ['failed-steps', 'failed'], 'has failed steps');
        const result = await retrySteps(session.queues, run, session.steering, invocation.options);
        const { retried, restored } = result;
        const nothing = retried.length + restored.length === 0 && !result.run;
        const said = nothing
          ? `nothing of ${run} had failed`
          : `${plural(retried.length, 'step')} of ${run} tried again${restored.length > 0 ? `, ${restored.length} put back into the queue` : ''}`;
        return await steered(session, run, said, { retried, restored });
      }),
    );
