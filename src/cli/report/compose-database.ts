import { integer, plural } from '../render/text.ts';
import { facts, heading, paragraph, table } from './document.ts';
import type { Block } from './document.ts';
import type { ReportedComparison, ReportedDatabase, ReportedSequences, ReportedStep } from './report.ts';
import { compared, DATABASE_STATES, when, resultOf, span, switchedOver, WAYS_BACK } from './words.ts';

/** All that the report says of one database. */
export function databaseBlocks(database: ReportedDatabase): Block[] {
  const { objects, cutover } = database;
  return [
    heading(2, `Database ${database.name}`),
    ...facts([
      ['state', DATABASE_STATES[database.state]],
      ['schema objects restored', count(objects.schema)],
      ['indexes and constraints built', count(objects.indexes)],
      ['tables copied', count(objects.tables)],
      ['triggers made at the cutover', count(objects.triggers)],
      ['materialized views refreshed', count(objects.materializedViews)],
      ['unlogged tables copied', count(objects.unloggedTables || null)],
      ['large objects copied', count(objects.largeObjects || null)],
      ['tables of extensions copied', count(objects.extensionTables || null)],
      ['switched over', cutover && switchedOver(cutover)],
      ['fenced', cutover && cutover.passes > 1 ? passes(cutover.passes) : null],
      ['fenced at', cutover?.fencedAt],
      ['LSN of the fence', cutover?.lsn],
      ['opened at', cutover?.openedAt],
      ['write outage', cutover && span(cutover.outageMs)],
      ['rows travel back', database.wayBack && WAYS_BACK[database.wayBack]],
      ['superusers that the fence does not keep out', cutover?.superusers.join(', ')],
    ]),
    ...(database.sequences ? sequenceBlocks(database.sequences, cutover?.from === 'earlier') : []),
    ...(database.comparison ? comparisonBlocks(database.comparison) : []),
    ...stepBlocks(database.steps),
  ];
}

/** Steps with their times, and under them what went wrong. */
export function stepBlocks(steps: readonly ReportedStep[]): Block[] {
  const troubled = steps.flatMap((step) => [
    ...step.troubles.map(({ at, text }) => [step.key, when(at), text]),
    ...(step.error && step.troubles.length === 0
      ? [[step.key, when(step.finishedAt), `${step.error.message}\n→ ${step.error.hint}`]]
      : []),
  ]);
  return [
    heading(3, 'Steps'),
    ...table(
      ['step', 'began', { right: 'took' }, { right: 'attempts' }, 'result', 'worker'],
      steps.flatMap((step) => [
        [
          step.key,
          when(step.startedAt),
          span(step.milliseconds),
          String(step.attempts),
          resultOf(step),
          step.worker ?? '',
        ],
        ...againRow(step),
      ]),
    ),
    ...(troubled.length > 0 ? [heading(3, 'Attempts that did not succeed')] : []),
    ...table(['step', 'at', 'what happened'], troubled),
  ];
}

const againRow = ({ key, again }: ReportedStep): string[][] =>
  again
    ? [
        [
          `${key}, once more`,
          when(again.startedAt),
          span(again.milliseconds),
          '',
          again.changed ? 'changed' : 'nothing changed',
          `within ${again.within}`,
        ],
      ]
    : [];

function sequenceBlocks({ total, changed, listed }: ReportedSequences, isOpened: boolean): Block[] {
  if (isOpened) {
    const why = 'applications were using the target already, so they were left as they are';
    return [heading(3, 'Sequences'), paragraph(`${plural(total, 'sequence')}: ${why}.`)];
  }
  return [
    heading(3, 'Sequences'),
    paragraph(
      `${plural(total, 'sequence')} read again and found equal; ${integer(changed)} had to be set, the others stood there already${rest(changed, listed)}.`,
    ),
    ...table(
      ['sequence', { right: 'on the target before' }, { right: 'source, and target after' }],
      listed.map(({ sequence, before, after }) => [
        sequence,
        before ? position(before) : 'was not there',
        position(after),
      ]),
    ),
  ];
}

const position = ({ last, called }: { readonly last: string; readonly called: boolean }): string =>
  called ? last : `${last} (not called)`;

function comparisonBlocks(comparison: ReportedComparison): Block[] {
  const { tables, rows, listed, method, differing, differences, left } = comparison;
  const result = differing === 0 ? 'no difference' : `${plural(differing, 'table')} not the same`;
  const missing = left === 0 ? '' : ` ${plural(left, 'table')} could not be compared.`;
  if (method === 'none') return [heading(3, 'Comparison'), paragraph('Not compared.')];
  return [
    heading(3, 'Comparison'),
    paragraph(
      `${plural(tables, 'table')} with ${plural(rows, 'row')} compared by ${compared(comparison)}: ${result}${rest(tables, listed)}.${missing}`,
    ),
    ...table(
      ['table', 'difference'],
      differences.map((each) => [each.table, each.what]),
    ),
    ...table(
      ['table', { right: 'rows' }, ...(method === 'checksum' ? [{ right: 'checksum' }] : [])],
      listed.map((each) => [each.table, integer(each.rows), ...(method === 'checksum' ? [each.sum ?? ''] : [])]),
    ),
  ];
}

const rest = (total: number, listed: readonly unknown[]): string =>
  total > listed.length ? ` (${integer(listed.length)} listed, ${integer(total - listed.length)} more not)` : '';

const passes = (times: number): string =>
  `${integer(times)} times: it was given back in between. Times, LSN, sequences and comparison are of the last time`;

const count = (value: number | null): string | null => (value === null ? null : integer(value));
