import type { Command } from 'commander';
import { readWatch } from '../../queue/watch-record.ts';
import { latestRun, readRun } from '../../queue/read-run.ts';
import { ExitCode } from '../../errors.ts';
import { readClusterStatus } from '../cluster-status.ts';
import { action, command } from '../command.ts';
import { followRun } from '../follow.ts';
import { pickLatest } from '../pick-run.ts';
import { runDocument } from '../render/documents.ts';
import { renderConfiguration, renderDatabases } from '../render/cluster-status.ts';
import { renderRun } from '../render/run.ts';
import { renderWatch } from '../render/watch.ts';
import { exitCodeOf } from '../run-facts.ts';
import { openSession } from '../session.ts';

interface StatusOptions {
  readonly watch?: boolean;
  readonly drift?: boolean;
}

export const status = (): Command =>
  command({
    name: 'status',
    summary: 'where a run and every database stand, and how far the target is behind',
    description:
      'Shows both servers, a run (without RUN the latest), and of each database, problems first: how far it is set up on the source and on ' +
      'the target, whether it replicates (initializing, replicating, down and why), and how far the target is behind. ' +
      '"behind" is WAL of the source, of whichever database, that the target has not confirmed. "for" is at most the age of the oldest ' +
      'change among it: 0 when nothing is unconfirmed; else how late the last confirmation came, or how long ago the target was last ' +
      'heard of, whichever is longer; empty where the source does not know. ' +
      'What was changed on one side alone is named, as far as a moment allows to look into the databases; --drift looks into all. ' +
      'Ends with the exit code of the run: 0 while it goes on or is done, and without a run.',
    examples: [
      ['pgconvoy status', 'the latest run'],
      ['pgconvoy status upgrade-1123-0412-k3f --watch', 'join a run, from any machine'],
      ['pgconvoy status --json', 'for programs'],
    ],
  })
    .argument('[run]', 'id of the run')
    .option('-w, --watch', 'follow it')
    .option('--drift', 'look for changes of the schema in every database, however long that takes')
    .action(
      action<StatusOptions>(async (invocation, named) => {
        const { terminal, options } = invocation;
        await using session = await openSession(invocation, { works: options.watch === true });
        if (options.watch) return await followRun(session, await pickLatest(session, named));
        const id = named ?? (await latestRun(session.queues))?.id;
        const run = id === undefined ? undefined : readRun(session.queues, id);
        const [view, servers, watch] = await Promise.all([
          run,
          readClusterStatus(session, run, options.drift === true),
          readWatch(session.queues),
        ]);
        const code = view ? exitCodeOf(view) : ExitCode.ok;
        const warnings = view?.state === 'running' ? await session.queueWarnings() : [];
        const { style, width } = terminal;
        terminal.print(`${renderConfiguration(servers, style)}\n`);
        terminal.print(
          view ? renderRun(view, { style, width, now: Date.now(), warnings }) : 'No run is known to this queue.',
        );
        terminal.print(`\n${renderDatabases(servers, style, width)}`);
        const watched = watch && renderWatch(watch, Date.now(), style, width);
        if (watched) terminal.print(`\n${watched}`);
        const { configuration, ...replication } = servers;
        const more = { configuration, replication, watchdog: watch ?? null };
        terminal.document(view ? runDocument(view, code, more) : { ok: true, code, run: null, ...more });
        return code;
      }),
    );
