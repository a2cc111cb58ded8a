import { clipMiddle, plural, visible, visibleLines, wrap } from './text.ts';
import type { Problem } from '../../queue/problems.ts';
import type { Style } from './style.ts';

interface ProblemOptions {
  readonly run: string;
  readonly now: number;
  readonly width: number;
  /** Lines there is room for; the rest is counted. */
  readonly lines?: number;
}

/** Each problem with its cause, its remedy and the line that carries the run on afterwards. */
export function renderProblems(problems: readonly Problem[], style: Style, options: ProblemOptions): string[] {
  const lines: string[] = [];
  const room = options.lines ?? Infinity;
  for (const [index, problem] of problems.entries()) {
    const block = one(problem, style, options);
    const rest = problems.length - index;
    if (index > 0 && lines.length + block.length + (rest > 1 ? 1 : 0) > room) {
      lines.push(style.dim(`  and ${plural(rest, 'more problem')}: pgconvoy status ${options.run}`));
      break;
    }
    lines.push(...block);
  }
  return lines;
}

function one({ kind, step, error, databases }: Problem, style: Style, { run, now, width }: ProblemOptions): string[] {
  const failed = kind === 'failed';
  const colour = failed ? style.red : style.yellow;
  const where = places(databases);
  const again = failed ? 'failed' : `tries again ${inTime(step.retryAt, now)} (attempt ${step.attempts + 1})`;
  return [
    ...wrap(`${colour(failed ? '✗' : '!')} ${style.bold(where)}: ${step.key} ${colour(again)}`, width).split('\n'),
    ...wrap(visibleLines(error.message), width - 4, '    ').split('\n'),
    ...remedyLines(error.hint, '    ', style),
    ...(failed ? [style.cyan(`    → then: ${retryLine(run, step.key, databases)}`)] : []),
  ];
}

/** What to do, as it stands, for copying: an arrow before its first line. */
export const remedyLines = (hint: string, indent: string, style: Style): string[] =>
  visibleLines(hint)
    .split('\n')
    .map((line, index) => style.cyan(`${indent}${index === 0 ? '→' : ' '} ${line}`));

/** What takes the failed steps up again, for copying into a shell. */
function retryLine(run: string, key: string, databases: readonly (string | undefined)[]): string {
  const [database] = databases;
  if (databases.length !== 1) return `pgconvoy retry ${run} --step ${key}`;
  return `pgconvoy retry ${run}${database === undefined ? ` --step ${key}` : ` --database ${shellWord(database)}`}`;
}

/** A word as a POSIX shell reads it back. */
const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** `orders`, or `orders, billing and 35 more databases`. */
function places(databases: readonly (string | undefined)[]): string {
  const names = databases.map((name) => (name === undefined ? 'cluster' : clipMiddle(visible(name), 32)));
  if (names.length <= 2) return names.join(' and ');
  return `${names[0]}, ${names[1]} and ${plural(names.length - 2, 'more database', 'more databases')}`;
}

/** `in 12 s`, or `now`. */
export const inTime = (at: number | undefined, now: number): string =>
  at === undefined || at <= now ? 'now' : `in ${Math.max(1, Math.round((at - now) / 1_000))} s`;
