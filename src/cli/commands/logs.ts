import type { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { runLogs } from '../../queue/read-run.ts';
import { action, command } from '../command.ts';
import { pickLatest } from '../pick-run.ts';
import { renderLogs } from '../render/runs.ts';
import { openSession } from '../session.ts';

interface LogsOptions {
  readonly database?: string;
}

export const logs = (): Command =>
  command({
    name: 'logs',
    summary: 'what the steps of a run have written',
    description: 'Prints what the steps of a run have written. Without RUN those of the latest.',
    examples: [
      ['pgconvoy logs', 'the latest run'],
      ['pgconvoy logs upgrade-1123-0412-k3f --database orders', 'one database'],
    ],
  })
    .argument('[run]', 'id of the run')
    .option('--database <name>', 'only this database')
    .action(
      action<LogsOptions>(async (invocation, named) => {
        const { terminal, options } = invocation;
        await using session = await openSession(invocation, { works: false });
        const run = await pickLatest(session, named);
        const lines = await runLogs(session.queues, run, options);
        terminal.print(renderLogs(lines, terminal.style));
        terminal.document({ ok: true, run, lines });
        return ExitCode.ok;
      }),
    );
