import type { Finding } from '../../engine/finding.ts';
import { remedyLines } from './problems.ts';
import type { Style } from './style.ts';
import { plural, visible, visibleLines, wrap } from './text.ts';

const SEVERITIES = ['block', 'warning'] as const;
const SIDES = ['source', 'target'] as const;

/**
 * Findings as a person works them off: what blocks first, then warnings; under each the source before the target and the
 * cluster before its databases. Remedies stand as they are, for copying.
 */
export function renderFindings(findings: readonly Finding[], style: Style, width: number): string {
  if (findings.length === 0) return style.green('Nothing was found that stands in the way.');
  const lines: string[] = [];
  for (const severity of SEVERITIES) {
    const group = findings.filter((finding) => finding.severity === severity);
    if (group.length === 0) continue;
    const colour = severity === 'block' ? style.red : style.yellow;
    const title =
      severity === 'block' ? `${plural(group.length, 'finding')} that block` : plural(group.length, 'warning');
    lines.push(colour(style.bold(group.length === 1 && severity === 'block' ? '1 finding that blocks' : title)));
    for (const [place, found] of byPlace(group)) {
      lines.push('', style.bold(`  ${place}`));
      for (const finding of found) lines.push(...one(finding, style, width, colour));
    }
    lines.push('');
  }
  lines.push(findingsSummary(findings));
  return lines.join('\n');
}

/** `2 block, 5 warnings`. */
export function findingsSummary(findings: readonly Finding[]): string {
  const blocking = findings.filter((finding) => finding.severity === 'block').length;
  const warnings = findings.length - blocking;
  return `${blocking === 1 ? '1 blocks' : `${blocking} block`}, ${plural(warnings, 'warning')}`;
}

function one(finding: Finding, style: Style, width: number, colour: (text: string) => string): string[] {
  const text = `${visibleLines(finding.message)} ${style.dim(`[${finding.code}]`)}`;
  return [
    `    ${colour(finding.severity === 'block' ? '✗' : '!')} ${wrap(text, width - 6, '      ').trimStart()}`,
    ...remedyLines(finding.remedy, '      ', style),
  ];
}

function byPlace(findings: readonly Finding[]): readonly (readonly [string, readonly Finding[]])[] {
  const places = new Map<string, Finding[]>();
  for (const side of SIDES) {
    const here = findings.filter((finding) => finding.side === side);
    for (const finding of here.filter((each) => each.database === undefined)) add(places, `${side} cluster`, finding);
    const names = [...new Set(here.flatMap((each) => each.database ?? []))].toSorted();
    const rank = new Map(names.map((name, index) => [name, index]));
    const inDatabases = here.filter((each) => each.database !== undefined);
    for (const finding of inDatabases.toSorted((a, b) => rank.get(a.database!)! - rank.get(b.database!)!)) {
      add(places, `${side}, database "${visible(finding.database!)}"`, finding);
    }
  }
  return [...places];
}

function add(places: Map<string, Finding[]>, place: string, finding: Finding): void {
  const list = places.get(place);
  if (list) list.push(finding);
  else places.set(place, [finding]);
}
