import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode } from '../errors.ts';
import { approveRun } from '../queue/control.ts';
import { readRun } from '../queue/read-run.ts';
import type { RunView } from '../queue/types.ts';
import { readClusterStatus } from './cluster-status.ts';
import { catchLeaving } from './leave.ts';
import type { Leaving } from './leave.ts';
import { runDocument } from './render/documents.ts';
import { openLiveView } from './render/live.ts';
import type { LiveView } from './render/live.ts';
import { renderDatabases } from './render/cluster-status.ts';
import { renderOutcome } from './render/outcome.ts';
import { renderRun } from './render/run.ts';
import { exitCodeOf, isSettled } from './run-facts.ts';
import type { Session } from './session.ts';
import { whoAmI } from '../runtime/who.ts';

interface FollowOptions {
  /** Approve every gate without asking. */
  readonly approve?: boolean | undefined;
  /** For the document of JSON mode, beside the run. */
  readonly more?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The next look at a run comes after this, or after so many times what the look itself took: it takes processor time from the worker on the
 * same machine.
 */
const LOOK_MS = 250;
const LOOK_SHARE = 9;
/** Where no picture is drawn anew, nobody watches: the pause grows up to this, and is so long at once where looks are dear. */
const LOOK_MOST_MS = 1_000;
const UNSEEN_SHARE = 49;
const UNSEEN_MOST_MS = 3_000;

/** Shows a run until nothing more happens by itself, or the person leaves; then says what it came to. */
export async function followRun(session: Session, id: string, options: FollowOptions = {}): Promise<ExitCode> {
  const { terminal } = session;
  using leaving = catchLeaving();
  const live = await openLiveView(terminal);
  const view = await watch(session, id, live, leaving, options);
  live.clear();
  if (leaving.signal.aborted) {
    terminal.note(leavingNote(id));
    throw leaving.signal.reason;
  }
  const code = exitCodeOf(view);
  terminal.print(renderOutcome(view, terminal.style, terminal.width, Date.now()));
  terminal.document(runDocument(view, code, options.more));
  return code;
}

async function watch(
  session: Session,
  id: string,
  live: LiveView,
  leaving: Leaving,
  options: FollowOptions,
): Promise<RunView> {
  let pause = LOOK_MS;
  for (;;) {
    const began = Date.now();
    const view = await readRun(session.queues, id);
    const warnings = view.state === 'running' ? await session.queueWarnings() : [];
    live.update(view, warnings);
    if (leaving.signal.aborted) return view;
    if (view.state === 'waiting-approval') {
      if (options.approve) await approveRun(session.queues, id, whoAmI());
      else if (!session.terminal.canAsk || session.terminal.json) return view;
      else if (!(await approvedOnTerminal(session, view, live, leaving))) return view;
    } else if (isSettled(view)) return view;
    const took = Date.now() - began;
    const unseen = session.terminal.canRedraw ? 0 : Math.min(UNSEEN_MOST_MS, UNSEEN_SHARE * took);
    const next = Math.max(pause, LOOK_SHARE * took, unseen);
    await sleep(next, undefined, { signal: leaving.signal }).catch(() => {});
    if (!session.terminal.canRedraw) pause = Math.min(LOOK_MOST_MS, pause * 1.1);
  }
}

/** Shows where everything stands and asks. Somebody else may approve or cancel meanwhile: then the question goes away. */
async function approvedOnTerminal(session: Session, view: RunView, live: LiveView, leaving: Leaving): Promise<boolean> {
  const { terminal, queues } = session;
  live.clear();
  terminal.note(renderRun(view, { style: terminal.noteStyle, now: Date.now(), width: terminal.width }));
  terminal.note(
    `\n${renderDatabases(await readClusterStatus(session, view, false), terminal.noteStyle, terminal.width)}`,
  );
  const moot = new AbortController();
  const signal = AbortSignal.any([leaving.signal, moot.signal]);
  const looking = (async () => {
    while (!signal.aborted) {
      await sleep(1_000, undefined, { signal }).catch(() => {});
      if (!signal.aborted && (await readRun(queues, view.id)).state !== 'waiting-approval') moot.abort();
    }
  })();
  const question = view.stages[view.stage ?? 0]?.title ?? 'Go on?';
  const answer = await terminal.ask(`${question} [y/N] `, signal);
  const other = moot.signal.aborted;
  moot.abort();
  await looking;
  if (other || leaving.signal.aborted) return true;
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) return false;
  await approveRun(queues, view.id, whoAmI());
  return true;
}

/** Said when a person leaves: what becomes of the run, and the lines to type. */
const leavingNote = (run: string): string =>
  `Left. ${run} goes on.\n  join it again: pgconvoy status ${run} --watch\n  stop it:       pgconvoy cancel ${run}`;
