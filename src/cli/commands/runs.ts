import type { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { listRuns } from '../../queue/read-run.ts';
import { action, command } from '../command.ts';
import { renderRuns } from '../render/runs.ts';
import { openSession } from '../session.ts';

export const runs = (): Command =>
  command({
    name: 'runs',
    summary: 'list the runs of this queue',
    description: 'Lists the runs that the queue knows, newest first, with their state.',
    examples: [
      ['pgconvoy runs', 'newest first'],
      ['pgconvoy runs --json', 'for programs'],
    ],
  }).action(
    action(async (invocation) => {
      const { terminal } = invocation;
      await using session = await openSession(invocation, { works: false });
      const found = await listRuns(session.queues);
      terminal.print(renderRuns(found, terminal.style, Date.now()));
      terminal.document({ ok: true, runs: found });
      return ExitCode.ok;
    }),
  );
