/** Reads from the sources which errors there are to throw, with what they say. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { Disposition } from '../../src/errors.ts';

const SRC = join(import.meta.dirname, '../../src');

/** What the classes do where the place that throws says nothing. */
const CLASSES: Readonly<Record<string, { readonly disposition: Disposition; readonly exit: string }>> = {
  PgconvoyError: { disposition: 'give-up', exit: 'failed' },
  NotConverged: { disposition: 'give-up', exit: 'failed' },
  DeadlineExceeded: { disposition: 'give-up', exit: 'failed' },
  BlockedByFindings: { disposition: 'give-up', exit: 'findings' },
  ConfigError: { disposition: 'give-up', exit: 'usage' },
  UnreachableError: { disposition: 'retry', exit: 'unreachable' },
};

/** Values are shown as an ellipsis. */
export interface Thrown {
  /** The folder in src; of operations their noun. */
  readonly area: string;
  readonly message: string;
  readonly hint: string;
  readonly disposition: string;
  /** The name of the exit code. */
  readonly exit: string;
}

/** Every error whose message begins with words of its own, each once, in the order of the files. */
export function thrownErrors(): Thrown[] {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const all = files.toSorted().flatMap((file) => thrownIn(areaOf(file), readFileSync(join(SRC, file), 'utf8')));
  return all.filter((one, index) => index === all.findIndex((each) => each.message === one.message));
}

function areaOf(file: string): string {
  const [area = '', noun = ''] = file.split(sep);
  return area === 'operations' ? noun : area;
}

function thrownIn(area: string, source: string): Thrown[] {
  return [...source.matchAll(/\bnew (\w+)\(/g)].flatMap((match) => {
    const kind = CLASSES[match[1]!];
    if (!kind) return [];
    const [first = '', options = ''] = split(source, match.index + match[0].length);
    const message = textOf(first);
    // What only passes on the words of another one tells nothing.
    if (!/[a-z]{2} .*[a-z]{3}/i.test(message.replaceAll(/\b(source|target|database)\b/g, ''))) return [];
    const said = split(options, options.indexOf('{') + 1);
    const named = (key: string) =>
      said.flatMap((part) => new RegExp(`^\\s*${key}:(.*)$`, 's').exec(part)?.[1] ?? [])[0];
    return {
      area,
      message,
      hint: textOf(named('hint') ?? ''),
      disposition: /'([\w-]+)'/.exec(named('disposition') ?? '')?.[1] ?? kind.disposition,
      exit: /ExitCode\.(\w+)/.exec(named('exitCode') ?? '')?.[1] ?? kind.exit,
    };
  });
}

/** The parts between commas, from `start` to the bracket that closes. */
function split(source: string, start: number): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = start;
  for (let at = start; at < source.length; at++) {
    const end = endOfLiteral(source, at);
    if (end > at) {
      at = end - 1;
      continue;
    }
    const char = source[at]!;
    if (')]}'.includes(char) && depth-- === 0) return [...parts, source.slice(from, at)];
    if ('([{'.includes(char)) depth++;
    if (char === ',' && depth === 0) {
      parts.push(source.slice(from, at));
      from = at + 1;
    }
  }
  return parts;
}

/** Behind the string, template or comment that begins at `at`; else `at` itself. */
function endOfLiteral(source: string, at: number): number {
  const quote = source[at]!;
  if (source.startsWith('//', at)) return source.indexOf('\n', at);
  if (!`'"\``.includes(quote)) return at;
  for (let end = at + 1; end < source.length; end++) {
    if (source[end] === '\\') end++;
    else if (source[end] === quote) return end + 1;
    else if (quote === '`' && source.startsWith('${', end)) end = endOfValue(source, end + 2);
  }
  return source.length;
}

/** At the bracket that closes a value inside of a template. */
function endOfValue(source: string, start: number): number {
  const inside = split(source, start);
  return start + inside.join(',').length;
}

/** The literals of an expression: pieces that are added up as one, those that are chosen from one after the other. */
function textOf(expression: string): string {
  let text = '';
  let between = '';
  for (let at = 0; at < expression.length; at++) {
    const end = endOfLiteral(expression, at);
    if (end === at) {
      between += expression[at]!;
      continue;
    }
    const literal = plain(expression.slice(at, end));
    if (literal !== undefined) {
      // What a value is compared with is no text: error === 'x'.
      if (!/[=[(]\s*$/.test(between)) text += text === '' || /^\s*\+\s*$/.test(between) ? literal : ` / ${literal}`;
      between = '';
    }
    at = end - 1;
  }
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/…{2,}/g, '…')
    .replaceAll(/( \/)+ /g, ' / ')
    .trim();
}

function plain(literal: string): string | undefined {
  if (literal.startsWith('//')) return undefined;
  let text = '';
  for (let at = 1; at < literal.length - 1; at++) {
    if (literal.startsWith('${', at) && literal[0] === '`') {
      at = endOfValue(literal, at + 2);
      text += '…';
    } else if (literal[at] === '\\') {
      at++;
      text += literal[at] === 'n' ? ' ' : literal[at]!;
    } else text += literal[at]!;
  }
  return text;
}
