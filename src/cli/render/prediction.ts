import type { PredictedOutage, Prediction } from '../rehearsal/prediction.ts';
import type { Style } from './style.ts';
import { clipMiddle, columns, duration, plural, visible, visibleLines, wrap } from './text.ts';

/** Databases shown; the report has all. */
const SHOWN = 12;

/** What a rehearsal tells of the cutover to come, for a terminal. */
export function renderPrediction(prediction: Prediction, style: Style, width: number): string {
  const { databases, own, together, atOnce, without, leftOut, warnings } = prediction;
  const rows = databases.slice(0, SHOWN).map((each) => row(each, width));
  const more = databases.length - rows.length;
  const note = (text: string) => wrap(text, width - 4, '    ').trimStart();
  const notes = [
    ...warnings.map((text) => style.yellow(`  ! ${note(visibleLines(text))}`)),
    ...leftOut.map((text) => style.dim(`  - ${note(text)}`)),
  ];
  return [
    `  predicted write outage: longest ${style.bold(duration(own.worstMs))}${databases.length > 1 ? `, median ${duration(own.medianMs)}` : ''}`,
    ...(databases.length > 1
      ? [
          `  each database on its own, ${atOnce} at a time: all are through in ${duration(own.wholeMs)}`,
          `  all together: up to ${duration(together.worstMs)} for each of them`,
          `    ${note(`${duration(together.onceMs)} once (fence, last rows, opening), ${duration(together.eachMs)} for the rest, ${atOnce} at a time`)}`,
        ]
      : []),
    '',
    ...columns([['  database', { right: 'outage' }, { right: 'estimated of it' }, 'longest step'], ...rows]),
    ...(more > 0 ? [style.dim(`  and ${plural(more, 'more database')}: pgconvoy report`)] : []),
    ...(without.length > 0 ? [`  not rehearsed: ${plural(without.length, 'database')} (${named(without)})`] : []),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ].join('\n');
}

function row({ database, milliseconds, estimatedMs, steps }: PredictedOutage, width: number) {
  const longest = steps.reduce((one, other) => (other.milliseconds > one.milliseconds ? other : one));
  return [
    `  ${clipMiddle(visible(database), Math.max(12, width - 60))}`,
    { right: duration(milliseconds) },
    { right: duration(estimatedMs) },
    `${longest.step} ${duration(longest.milliseconds)}`,
  ];
}

const named = (names: readonly string[]): string =>
  `${names.slice(0, 3).map(visible).join(', ')}${names.length > 3 ? ', …' : ''}`;
