/** How the demo speaks. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

const began = performance.now();
const colours = process.stdout.isTTY === true && !process.env['NO_COLOR'];
let step = 0;

const styled = (style: Style, text: string): string => (colours ? styleText(style, text) : text);

/** The next numbered step. */
export function heading(text: string): void {
  step += 1;
  console.log(`\n${styled('bold', `${step}. ${text}`)}  ${styled('dim', `(${seconds()} s)`)}`);
}

export function line(text: string): void {
  console.log(`   ${text}`);
}

export function command(text: string): void {
  console.log(`   ${styled('cyan', `$ ${text}`)}\n`);
}

export interface Verdict {
  readonly holds: boolean;
  readonly what: string;
  readonly facts: string;
  /** Shown where it does not hold. */
  readonly problems?: readonly string[];
}

const MOST_PROBLEMS = 12;

/** The last table. */
export function verdicts(all: readonly Verdict[]): void {
  const width = Math.max(...all.map(({ what }) => what.length));
  for (const { holds, what, facts, problems = [] } of all) {
    console.log(`   ${holds ? styled('green', 'OK') : styled('red', 'KO')}  ${what.padEnd(width)}  ${facts}`);
    if (holds) continue;
    for (const problem of problems.slice(0, MOST_PROBLEMS)) console.log(`         ${problem}`);
    if (problems.length > MOST_PROBLEMS) console.log(`         … and ${problems.length - MOST_PROBLEMS} more`);
  }
}

export function failure(text: string): void {
  console.log(`\n${styled('red', 'KO')}  ${text}`);
}

/** Since the demo began, with one decimal. */
export function seconds(): string {
  return ((performance.now() - began) / 1000).toFixed(1);
}

export function count(number: number): string {
  return number.toLocaleString('en');
}
