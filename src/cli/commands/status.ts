import type { Command } from 'commander';
import { latestRun, readRun } from '../../queue/read-run.ts';
import { ExitCode } from '../../errors.ts';
import { action, command } from '../command.ts';
import { followRun } from '../follow.ts';
import { pickLatest } from '../pick-run.ts';
import { runDocument } from '../render/documents.ts';
import { renderReplication } from '../render/replication.ts';
import { renderRun } from '../render/run.ts';
import { readReplication } from '../replication.ts';
import { exitCodeOf } from '../run-facts.ts';
import { openSession } from '../session.ts';

interface StatusOptions {
  readonly watch?: boolean;
}

export const status = (): Command =>
  command({
    name: 'status',
    summary: 'where a run stands, and how far the target is behind',
    description:
      'Shows a run, problems first, and how far each database of the target is behind the source. Without RUN the latest. ' +
      'Ends with the exit code of the run: 0 while it goes on or is done.',
    examples: [
      ['pgconvoy status', 'the latest run'],
      ['pgconvoy status upgrade-1123-0412-k3f --watch', 'join a run, from any machine'],
      ['pgconvoy status --json', 'for programs'],
    ],
  })
    .argument('[run]', 'id of the run')
    .option('-w, --watch', 'follow it')
    .action(
      action<StatusOptions>(async (invocation, named) => {
        const { terminal, options } = invocation;
        await using session = await openSession(invocation, { works: options.watch === true });
        if (options.watch) return await followRun(session, await pickLatest(session, named));
        const id = named ?? (await latestRun(session.queues))?.id;
        const view = id === undefined ? undefined : await readRun(session.queues, id);
        const replication = await readReplication(session, view);
        const code = view ? exitCodeOf(view) : ExitCode.ok;
        const warnings = view?.state === 'running' ? await session.queueWarnings() : [];
        const { style, width } = terminal;
        terminal.print(
          view ? renderRun(view, { style, width, now: Date.now(), warnings }) : 'No run is known to this queue.',
        );
        terminal.print(`\n${renderReplication(replication, style, width)}`);
        terminal.document(view ? runDocument(view, code, { replication }) : { ok: true, code, run: null, replication });
        return code;
      }),
    );
