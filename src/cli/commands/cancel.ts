import type { Command } from 'commander';
import { cancelRun } from '../../queue/control.ts';
import { action, command } from '../command.ts';
import { pickRun } from '../pick-run.ts';
import { plural, visible } from '../render/text.ts';
import { openSession } from '../session.ts';
import { steered } from '../steer.ts';

export const cancel = (): Command =>
  command({
    name: 'cancel',
    summary: 'stop a run; what is done stays done',
    description:
      'Stops a run: steps in work are cancelled on the servers too, no further step begins, and databases inside their cutover get their source back. ' +
      'Everything that succeeded stays; resume carries the run on.',
    examples: [
      ['pgconvoy cancel upgrade-1123-0412-k3f', 'this run'],
      ['pgconvoy cancel', 'the only one that goes on'],
    ],
  })
    .argument('[run]', 'id of the run')
    .action(
      action(async (invocation, named) => {
        await using session = await openSession(invocation, { works: true });
        const run = await pickRun(session, named, ['running', 'waiting-approval', 'failed-steps'], 'can be cancelled');
        const { already, stopping, undoneBy } = await cancelRun(session.queues, run, session.steering);
        const said = [
          already === undefined ? `cancelled: ${run}` : `${run} was cancelled before, by ${visible(already)}`,
          ...(stopping.length > 0
            ? [`${plural(stopping.length, 'step')} in work ${stopping.length === 1 ? 'is' : 'are'} being stopped`]
            : []),
          ...(undoneBy === undefined ? [] : [`taken back by ${undoneBy}: what must not stay, such as the fence`]),
          `carry it on: pgconvoy resume ${run}`,
        ];
        return await steered(session, run, said.join('\n'), {
          already: already ?? null,
          stopping,
          undoneBy: undoneBy ?? null,
        });
      }),
    );
