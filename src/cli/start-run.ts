import { ConfigError, ExitCode } from '../errors.ts';
import { enqueueRun } from '../queue/runs.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import type { RunOptions } from '../engine/workflow.ts';
import type { Selection } from '../runtime/databases.ts';
import type { Invocation } from './command.ts';
import { followRun } from './follow.ts';
import { leftOutLines } from './render/plan.ts';
import type { Style } from './render/style.ts';
import { plural } from './render/text.ts';
import type { Servers } from './servers.ts';
import { configuredOptions } from './run-options.ts';
import { openSession } from './session.ts';
import { detached } from './steer.ts';
import { version } from '../runtime/version.ts';
import { whoAmI } from '../runtime/who.ts';
import { workflowNamed } from './workflow-named.ts';

/** What a person sees of a run before it begins. */
export interface Preview {
  readonly render: (style: Style, width: number) => string;
  /** What is asked then, where somebody is there to answer; undefined where nothing is at stake. */
  readonly question: string | undefined;
  /** Without an answer or --yes nothing is begun. */
  readonly mustAgree: boolean;
  /** The same for the one document of JSON mode. */
  readonly document: Readonly<Record<string, unknown>>;
}

export interface StartRequest {
  readonly workflow: string;
  readonly options: RunOptions;
  /** What to ask before anything is started; undefined where nothing needs to be asked. */
  readonly question: ((databases: string) => string | undefined) | undefined;
  readonly preview: ((servers: Servers, databases: readonly SelectedDatabase[]) => Promise<Preview>) | undefined;
  /** How databases are selected, where it is not by meeting both servers. It may add options, and select none. */
  readonly select?: ((servers: Servers) => Promise<SelectedForRun>) | undefined;
  readonly detach: boolean;
  readonly yes: boolean;
}

export interface SelectedForRun {
  readonly selection: Selection;
  readonly options: RunOptions;
}

/** Meets the servers, selects databases, puts the run into the queue, and follows it unless it shall be left alone. */
export async function startRun(invocation: Invocation, request: StartRequest): Promise<ExitCode> {
  const { terminal } = invocation;
  const workflow = workflowNamed(request.workflow);
  const asks = !request.yes && request.question?.('') !== undefined;
  if (asks && (!terminal.canAsk || terminal.json)) {
    throw new ConfigError(`${request.workflow} asks before it begins, and nobody is here to answer`, {
      hint: 'Give --yes when you are sure.',
    });
  }
  await using session = await openSession(invocation, { works: true });
  const chosen = await request.select?.(session.servers);
  const { selected, reported } = chosen?.selection ?? (await session.servers.select());
  if (selected.length === 0 && !chosen) {
    throw new ConfigError(`no database takes part: ${leftOutLines(reported, 3).join('; ')}`, {
      hint: 'See pgconvoy plan; correct databases.include and databases.exclude, or --databases and --exclude.',
    });
  }
  for (const line of leftOutLines(reported, 3)) terminal.note(`left out: ${line}`);
  if (asks && !(await agreed(invocation, request.question?.(plural(selected.length, 'database')) ?? '')))
    return ExitCode.cancelled;
  const preview = await request.preview?.(session.servers, selected);
  if (preview && !(await shown(invocation, preview, request))) return ExitCode.cancelled;
  await session.checkQueue();
  const run = await enqueueRun(session.queues, {
    workflow,
    databases: selected,
    options: { ...configuredOptions(workflow, session.loaded.config), ...request.options, ...chosen?.options },
    by: whoAmI(),
    version,
    budgets: session.loaded.config.budgets,
  });
  return request.detach
    ? await detached(session, run, preview?.document)
    : await followRun(session, run, { approve: request.yes, more: preview?.document });
}

/** Shows what will be done, and asks where there is something to ask and somebody to answer; false: not agreed to. */
async function shown(invocation: Invocation, preview: Preview, { workflow, yes }: StartRequest): Promise<boolean> {
  const { terminal } = invocation;
  terminal.note(preview.render(terminal.noteStyle, terminal.width));
  if (yes || preview.question === undefined) return true;
  if (terminal.canAsk && !terminal.json) return agreed(invocation, preview.question);
  if (!preview.mustAgree) return true;
  throw new ConfigError(`${workflow} asks before it does this, and nobody is here to answer: ${preview.question}`, {
    hint: `Give --yes when you are sure; pgconvoy plan ${workflow} shows what it would do.`,
  });
}

async function agreed({ terminal }: Invocation, question: string): Promise<boolean> {
  const answer = await terminal.ask(`${question} [y/N] `, new AbortController().signal);
  const yes = /^y(es)?$/i.test(answer?.trim() ?? '');
  if (!yes) terminal.note('Nothing was started.');
  return yes;
}
