import { problemsOf } from '../../queue/problems.ts';
import type { RunState, RunView, StageView } from '../../queue/types.ts';
import { currentStage, findingsOf } from '../run-facts.ts';
import { findingsSummary } from './findings.ts';
import { renderStage, stageLines } from './lanes.ts';
import { remedyLines, renderProblems } from './problems.ts';
import type { Style } from './style.ts';
import { clip, columns, duration, integer, moment, plural, visible, visibleLines, wrap } from './text.ts';

interface RunRendering {
  readonly style: Style;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly width: number;
  /** Lines that fit on the screen; nothing: as many as it takes. */
  readonly height?: number;
  /** Something the reader should know that the run itself cannot say. */
  readonly warnings?: readonly string[];
}

const STATES: Readonly<Record<RunState, string>> = {
  running: 'running',
  'waiting-approval': 'waits for approval',
  'failed-steps': 'steps failed',
  cancelling: 'being cancelled',
  cancelled: 'cancelled',
  completed: 'completed',
  failed: 'failed',
};

/** A run on one screen: what it is, problems with cause and remedy, then where every database stands. */
export function renderRun(view: RunView, rendering: RunRendering): string {
  const { style, width } = rendering;
  const height = rendering.height ?? Infinity;
  const stage = currentStage(view);
  const head = header(view, stage, rendering);
  const problems = renderProblems(problemsOf(view), style, {
    run: view.id,
    now: rendering.now,
    width,
    // At least half of the screen stays for what goes well.
    lines: Math.max(4, Math.floor((height - head.length) / 2)),
  });
  const foot = footer(view, stage, rendering);
  const used = head.length + problems.length + foot.length + (problems.length > 0 ? 1 : 0) + 1;
  const body = bodyOf(view, stage, rendering, Math.max(3, height - used - 1));
  const sections = [head, problems, body, foot].filter((section) => section.length > 0);
  return sections.map((section) => section.join('\n')).join('\n\n');
}

function header(
  view: RunView,
  stage: StageView | undefined,
  { style, now, width, warnings = [] }: RunRendering,
): string[] {
  const elapsed = duration((view.finishedAt ?? now) - (view.startedAt ?? view.createdAt));
  const state = stateColour(view.state, style)(STATES[view.state]);
  const lines = [`${style.bold(view.id)} · ${state} · ${plural(view.databases.length, 'database')} · ${elapsed}`];
  if (stage && view.state !== 'completed') {
    const title = stage.kind === 'gate' ? `Approval: ${stage.title}` : stage.title;
    lines.push(clip(`stage ${stage.index + 1} of ${view.stages.length}: ${title}`, width));
  }
  for (const { title, approval } of view.stages) {
    if (approval)
      lines.push(style.dim(wrap(`approved by ${visible(approval.by)}, ${moment(approval.at)}: ${title}`, width)));
  }
  if (view.error)
    lines.push(
      style.red(wrap(`✗ ${visibleLines(view.error.message)}`, width)),
      ...remedyLines(view.error.hint, '  ', style),
    );
  lines.push(...warnings.map((warning) => style.yellow(wrap(`! ${warning}`, width))));
  return lines.flatMap((line) => line.split('\n'));
}

function footer(view: RunView, stage: StageView | undefined, { style, now, width }: RunRendering): string[] {
  const lines: string[] = [];
  if (stage && stage.kind !== 'gate' && view.state !== 'completed') {
    lines.push(...stageLines(stage, now).map((line) => style.dim(clip(line, width))));
  }
  const findings = findingsOf(view);
  if (findings.length > 0) lines.push(wrap(`findings: ${findingsSummary(findings)}`, width));
  if (view.state === 'waiting-approval') {
    lines.push(
      style.yellow(wrap(`waits for approval: ${stage?.title ?? ''}`, width)),
      style.cyan(`  → pgconvoy approve ${view.id}`),
    );
  }
  if (view.summary)
    lines.push(
      `${plural(view.summary.changed, 'step')} changed something, ${integer(view.summary.unchanged)} already held`,
    );
  if (view.state === 'cancelled') lines.push(style.cyan(`→ pgconvoy resume ${view.id} carries it on`));
  return lines.flatMap((line) => line.split('\n'));
}

function bodyOf(view: RunView, stage: StageView | undefined, rendering: RunRendering, room: number): string[] {
  if (view.summary) {
    return columns(
      view.summary.durations.map(({ stage: index, title, milliseconds }) => [
        `  ${rendering.style.green('✓')} ${clip(`${index + 1}. ${title}`, rendering.width - 16)}`,
        { right: duration(milliseconds) },
      ]),
    ).slice(0, room);
  }
  return stage && stage.kind !== 'gate' ? renderStage(stage, rendering, room) : [];
}

function stateColour(state: RunState, style: Style): (text: string) => string {
  if (state === 'completed') return style.green;
  if (state === 'failed' || state === 'failed-steps') return style.red;
  return state === 'running' ? style.cyan : style.yellow;
}
