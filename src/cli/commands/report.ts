import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { ConfigError, errorText, ExitCode } from '../../errors.ts';
import { listRuns, readRun, runLogs } from '../../queue/read-run.ts';
import type { RunView } from '../../queue/types.ts';
import { readLedgers } from '../../runtime/read-ledgers.ts';
import { action, command } from '../command.ts';
import { pickLatest } from '../pick-run.ts';
import { buildReport } from '../report/build-report.ts';
import { renderReport, REPORT_FORMATS } from '../render/report.ts';
import type { ReportFormat } from '../render/report.ts';
import { openSession } from '../session.ts';
import type { Session } from '../session.ts';
import { version } from '../../runtime/version.ts';
import { whoAmI } from '../../runtime/who.ts';

interface ReportOptions {
  readonly format: ReportFormat;
  readonly output?: string;
}

export const report = (): Command =>
  command({
    name: 'report',
    summary: 'one file about a run, to sign off',
    description:
      'Writes what the jobs of a run have recorded: who started and approved it, servers and versions, configuration without secrets, checks and ' +
      'findings with what was waived, and of each database every step with its times, attempts and errors, the LSN of the fence, sequences, ' +
      'the comparison and the write outage. Without RUN the latest. Both servers are asked what their ledgers hold now; where one is away ' +
      'the report says so. Without --output it is printed.',
    examples: [
      ['pgconvoy report', 'the latest run, as Markdown'],
      ['pgconvoy report --format html --output upgrade.html', 'to read in a browser, to print'],
      ['pgconvoy report upgrade-1123-0412-k3f --format json', 'for programs'],
    ],
  })
    .argument('[run]', 'id of the run')
    .addOption(new Option('--format <format>', 'of the report').choices(REPORT_FORMATS).default('markdown'))
    .option('-o, --output <file>', 'write it there; what is there is replaced')
    .action(
      action<ReportOptions>(async (invocation, named) => {
        const { terminal, options } = invocation;
        await using session = await openSession(invocation, { works: false });
        const id = await pickLatest(session, named);
        const [view, lines, ledgers] = await Promise.all([
          readRun(session.queues, id),
          runLogs(session.queues, id),
          readLedgers(session.servers.clusters, new AbortController().signal),
        ]);
        const built = buildReport({
          view,
          rehearsal: await rehearsalBefore(session, view),
          lines,
          ledgers,
          settings: session.loaded.settings,
          written: { at: Date.now(), by: whoAmI(), version },
        });
        const text = renderReport(built, options.format);
        if (options.output === undefined) terminal.print(text.trimEnd());
        else await save(options.output, text);
        const file = options.output === undefined ? {} : { file: resolve(options.output) };
        if (options.output !== undefined) terminal.note(`report on ${id}: ${file.file}`);
        terminal.document({ ok: true, ...file, report: built });
        return ExitCode.ok;
      }),
    );

/** The last rehearsal that was through when this run began, and had one of its databases. */
async function rehearsalBefore({ queues }: Session, run: RunView): Promise<RunView | undefined> {
  if (run.workflow === 'rehearse') return undefined;
  const names = new Set(run.databases.map(({ name }) => name));
  for (const { id, workflow, state, undoes, finishedAt = Infinity } of await listRuns(queues)) {
    if (workflow !== 'rehearse' || state !== 'completed' || undoes !== undefined) continue;
    if (finishedAt > (run.startedAt ?? run.createdAt)) continue;
    const view = await readRun(queues, id);
    if (view.databases.some(({ name }) => names.has(name))) return view;
  }
  return undefined;
}

async function save(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (error) {
    throw new ConfigError(`${file} cannot be written: ${errorText(error)}`, {
      hint: 'Name a file in a folder of yours by --output.',
      cause: error,
    });
  }
}
