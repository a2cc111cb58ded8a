import type { CheckedPoint } from '../run-facts.ts';
import { findingsSummary } from './findings.ts';
import { remedyLines } from './problems.ts';
import type { Style } from './style.ts';
import { integer, padEnd, plural, visible, visibleLines, wrap } from './text.ts';

const SECTIONS = [
  ['here', 'This machine'],
  ['source', 'Source'],
  ['target', 'Target'],
] as const;

/** Findings alike in one database that are told in full; the rest is counted. */
const IN_FULL = 50;

/**
 * A check point by point: each is a line with OK, KO or a note; what was found stands below it, with its remedy as it is, for
 * copying. Of a database only what is not OK is told line by line.
 */
export function renderPoints(points: readonly CheckedPoint[], style: Style, width: number): string {
  const lines: string[] = [];
  for (const [side, title] of SECTIONS) {
    const here = points.filter(({ point }) => point.side === side && point.database === undefined);
    if (here.length > 0) lines.push(style.bold(title), ...here.flatMap((each) => pointLines(each, style, width)), '');
  }
  for (const [database, of] of byDatabase(points)) lines.push(...databaseLines(database, of, style, width));
  const findings = points.flatMap((each) => each.findings);
  if (lines.at(-1) !== '') lines.push('');
  lines.push(
    findings.length === 0 ? style.green('Nothing was found that stands in the way.') : findingsSummary(findings),
  );
  return lines.join('\n');
}

function byDatabase(points: readonly CheckedPoint[]): Map<string, CheckedPoint[]> {
  const databases = new Map<string, CheckedPoint[]>();
  for (const each of points) {
    const { database } = each.point;
    if (database === undefined) continue;
    const known = databases.get(database);
    if (known) known.push(each);
    else databases.set(database, [each]);
  }
  return databases;
}

function databaseLines(name: string, points: readonly CheckedPoint[], style: Style, width: number): string[] {
  const open = points.filter(({ state }) => state !== 'OK');
  const holding = points.length - open.length;
  const title = `Database "${visible(name)}"`;
  if (open.length === 0) return [`${style.bold(title)}  ${word('OK', style)} ${plural(points.length, 'point')}`];
  return [
    style.bold(title),
    ...open.flatMap((each) => pointLines(each, style, width)),
    ...(holding > 0 ? [`  ${word('OK', style)} ${plural(holding, 'other point')}`] : []),
    '',
  ];
}

function pointLines({ point, findings, state }: CheckedPoint, style: Style, width: number): string[] {
  const { capacity } = point;
  const room =
    capacity && `${integer(capacity.needed)} needed, ${integer(capacity.used)} in use, ${integer(capacity.free)} free`;
  const seen = room ?? (point.detail === undefined ? '' : visible(point.detail));
  const shown = findings.slice(0, IN_FULL);
  return [
    `  ${word(state, style)} ${visible(point.title)}${seen === '' ? '' : `: ${seen}`}`,
    ...shown.flatMap((finding) => [
      ...wrap(`${visibleLines(finding.message)} [${finding.code}]`, width - 7, '       ').split('\n'),
      ...remedyLines(finding.remedy, '       ', style),
    ]),
    ...(shown.length < findings.length
      ? [`       and ${integer(findings.length - shown.length)} more: --json tells all`]
      : []),
  ];
}

/** All of the same width, so that titles stand below each other. */
function word(state: CheckedPoint['state'], style: Style): string {
  const colour = { OK: style.green, KO: style.red, note: style.yellow }[state];
  return colour(padEnd(state, 4));
}
