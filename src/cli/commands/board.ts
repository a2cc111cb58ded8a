import { once } from 'node:events';
import type { Command } from 'commander';
import { requireProtection } from '../../board/authentication.ts';
import { startBoard } from '../../board/board.ts';
import type { Board } from '../../board/board.ts';
import { ExitCode } from '../../errors.ts';
import { createLogger } from '../../log.ts';
import { readStatus } from '../../runtime/status/read-status.ts';
import { action, command } from '../command.ts';
import { catchLeaving } from '../leave.ts';
import { openSession } from '../session.ts';
import type { Session } from '../session.ts';

export const board = (): Command =>
  command({
    name: 'board',
    summary: 'show and steer runs in a browser until stopped',
    description:
      'Serves a page for each run (databases and steps, problems first; retry, approve, cancel), Bull Board over all queues, /metrics for Prometheus, ' +
      '/healthz and /readyz, until SIGTERM or Ctrl-C. What would harm a run is refused. Where, and for whom: board in the configuration.',
    examples: [
      ['pgconvoy board', 'on http://127.0.0.1:8480 unless the configuration says otherwise'],
      ['pgconvoy board --json', 'prints its address as a document'],
    ],
  }).action(
    action(async (invocation) => {
      const { terminal } = invocation;
      using leaving = catchLeaving();
      await using session = await openSession(invocation, {
        works: true,
        stays: true,
        require: ({ config: { board: wished } }) => requireProtection(wished),
      });
      // The worker of this machine may have one; it stays as long as this command is there.
      await using own = session.board === undefined ? await ownBoard(session) : undefined;
      const url = own?.url ?? session.board!;
      terminal.print(`board: ${url}`);
      terminal.document({ ok: true, board: url });
      if (!leaving.signal.aborted) await once(leaving.signal, 'abort');
      return ExitCode.ok;
    }),
  );

function ownBoard({ loaded: { config }, queues, steering, servers, terminal }: Session): Promise<Board> {
  return startBoard({
    config: config.board,
    queues,
    steering,
    readClusters: (signal) => readStatus(servers.clusters, signal),
    log: createLogger(config.logLevel, terminal.stderr),
  });
}
