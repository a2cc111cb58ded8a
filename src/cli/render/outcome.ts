import { problemsOf } from '../../queue/problems.ts';
import type { RunView } from '../../queue/types.ts';
import { checkedPointsOf, comparedOf, findingsOf, hookFailuresOf, median, outagesOf, stepsOf } from '../run-facts.ts';
import { predictionOf } from '../rehearsal/prediction.ts';
import { findingsSummary, renderFindings } from './findings.ts';
import { renderPoints } from './points.ts';
import { renderPrediction } from './prediction.ts';
import { remedyLines, renderProblems } from './problems.ts';
import type { Style } from './style.ts';
import { duration, plural, visible, visibleLines, wrap } from './text.ts';

/** What a run came to, as a command's result. */
export function renderOutcome(view: RunView, style: Style, width: number, now: number): string {
  switch (view.state) {
    case 'completed':
      return completed(view, style, width);
    case 'failed-steps':
      return [
        ...(view.workflow === 'check' ? [renderPoints(checkedPointsOf(view), style, width), ''] : []),
        ...renderProblems(problemsOf(view), style, { run: view.id, now, width }),
        ...blockingFindings(view, style, width),
        '',
        style.red(wrap(`${view.id}: ${standstill(view)}`, width)),
        `  try all failed steps again: ${style.cyan(`pgconvoy retry ${view.id}`)}`,
        `  or give it up: ${style.cyan(`pgconvoy cancel ${view.id}`)}`,
      ].join('\n');
    case 'failed':
      return [
        wrap(
          `${style.red('✗')} ${view.id} cannot go on: ${visibleLines(view.error?.message ?? 'no cause is known')}`,
          width,
        ),
        ...(view.error ? remedyLines(view.error.hint, '  ', style) : []),
      ].join('\n');
    case 'waiting-approval':
      return [
        style.yellow(wrap(`${view.id} waits for approval: ${view.stages[view.stage ?? 0]?.title ?? ''}`, width)),
        `  look at it: ${style.cyan(`pgconvoy status ${view.id}`)}`,
        `  approve it: ${style.cyan(`pgconvoy approve ${view.id}`)}`,
      ].join('\n');
    case 'cancelling':
    case 'cancelled':
      return [
        style.yellow(`${view.id} was cancelled${view.cancel ? ` by ${visible(view.cancel.by)}` : ''}.`),
        ...(view.undoneBy === undefined ? [] : [`  what must not stay was taken back by ${view.undoneBy}`]),
        `  carry it on: ${style.cyan(`pgconvoy resume ${view.id}`)}`,
      ].join('\n');
    case 'running':
      return `${view.id} goes on. Join it: ${style.cyan(`pgconvoy status ${view.id} --watch`)}`;
    default:
      return view.state satisfies never;
  }
}

function completed(view: RunView, style: Style, width: number): string {
  const findings = findingsOf(view);
  const steps = stepsOf(view);
  const changed = view.summary?.changed ?? steps.filter((step) => step.changed === true).length;
  const unchanged = view.summary?.unchanged ?? steps.length - changed;
  const took = duration((view.finishedAt ?? view.createdAt) - (view.startedAt ?? view.createdAt));
  if (view.workflow === 'check') {
    return `${renderPoints(checkedPointsOf(view), style, width)}\n${style.dim(`${plural(view.databases.length, 'database')} checked in ${took}`)}`;
  }
  if (view.workflow === 'compare') return compared(view, style, width, took);
  const prediction = predictionOf(view);
  const warnings = findings.length === 0 ? [] : [`${findingsSummary(findings)}: pgconvoy check shows them`];
  const what =
    changed === 0
      ? `nothing to change: ${plural(unchanged, 'step')} already ${unchanged === 1 ? 'holds' : 'hold'}`
      : `${plural(changed, 'step')} changed something${unchanged > 0 ? `, ${unchanged} already held` : ''}`;
  return [
    wrap(
      `${style.green('✓')} ${view.workflow} completed in ${took}: ${plural(view.databases.length, 'database')}; ${what}`,
      width,
    ),
    ...outages(view).map((line) => wrap(line, width - 2, '  ')),
    ...hookFailuresOf(view).map((failure) => style.yellow(wrap(visible(failure), width - 2, '  '))),
    ...(prediction ? [renderPrediction(prediction, style, width)] : []),
    ...warnings.map((line) => wrap(line, width)),
  ].join('\n');
}

function compared(view: RunView, style: Style, width: number, took: string): string {
  const { tables, rows } = comparedOf(view);
  const findings = findingsOf(view);
  const what = `${plural(tables, 'table')} with ${plural(rows, 'row')} in ${plural(view.databases.length, 'database')} compared in ${took}`;
  return findings.length === 0
    ? wrap(`${style.green('✓')} ${what}: no difference`, width)
    : `${renderFindings(findings, style, width)}\n${wrap(what, width)}`;
}

function outages(view: RunView): string[] {
  const all = outagesOf(view);
  const [longest] = all;
  if (!longest) return [];
  const of = `longest ${duration(longest.milliseconds)} (${visible(longest.database)})`;
  return [`write outage: ${of}${all.length > 1 ? `, median ${duration(median(all))}` : ''}`];
}

/** Steps that blocking findings stopped show only the first of them: here are all. */
function blockingFindings(view: RunView, style: Style, width: number): string[] {
  const findings = stepsOf(view)
    .filter((step) => step.state === 'failed')
    .flatMap((step) => step.findings);
  return findings.length === 0 ? [] : ['', renderFindings(findings, style, width)];
}

function standstill(view: RunView): string {
  const failed = stepsOf(view).filter((step) => step.state === 'failed');
  const databases = new Set(failed.flatMap((step) => step.database ?? [])).size;
  const others = view.databases.length - databases;
  if (databases === 0) return `${plural(failed.length, 'step')} of the cluster failed`;
  const rest = others === 0 ? '' : `; ${plural(others, 'other database')} went as far as possible`;
  return `${plural(failed.length, 'step')} failed in ${plural(databases, 'database')}${rest}`;
}
