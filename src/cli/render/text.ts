import { stripVTControlCharacters } from 'node:util';

/** Text for terminals: widths, clipping, columns. Pure. */

/** Control characters, and those that turn the direction of writing. */
const CONTROL = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A name as it may be shown: control characters become visible, so that no database name can steer the terminal. */
export function visible(name: string): string {
  return name.replace(CONTROL, (char) => ESCAPES[char] ?? `\\x${char.codePointAt(0)!.toString(16).padStart(2, '0')}`);
}

/** The same for a text of several lines. */
export const visibleLines = (text: string): string => text.split('\n').map(visible).join('\n');

const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1faff],
  [0x20000, 0x3fffd],
];

/** How many columns a text takes; colours take none, East Asian characters two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of stripVTControlCharacters(text)) {
    const code = char.codePointAt(0)!;
    if (code < 0x300) width += 1;
    else if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) continue;
    else width += WIDE.some(([from, to]) => code >= from && code <= to) ? 2 : 1;
  }
  return width;
}

/** At most this wide; what is cut off is shown by an ellipsis. For texts without colours. */
export function clip(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let taken = '';
  for (const char of text) {
    if (widthOf(taken + char) > width - 1) break;
    taken += char;
  }
  return width <= 0 ? '' : `${taken}…`;
}

/** Keeps both ends of a long name: `customers_eu_w…_2024`. */
export function clipMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width < 5) return clip(text, width);
  const chars = [...text];
  let tail = '';
  while (chars.length > 0 && widthOf(tail + chars.at(-1)!) <= Math.floor((width - 1) / 3)) tail = chars.pop()! + tail;
  return clip(text, width - widthOf(tail)) + tail;
}

export const padEnd = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));
export const padStart = (text: string, width: number): string => ' '.repeat(Math.max(0, width - widthOf(text))) + text;

/** Breaks at spaces so that no line is wider; a word that is too long stays whole, because a person may copy it. */
export function wrap(text: string, width: number, indent = ''): string {
  return text
    .split('\n')
    .map((paragraph) => {
      const lines: string[] = [];
      let line = '';
      for (const word of paragraph.split(' ')) {
        if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
          lines.push(line);
          line = word;
        } else line = line === '' ? word : `${line} ${word}`;
      }
      lines.push(line);
      return lines.map((one) => (one === '' ? one : indent + one)).join('\n');
    })
    .join('\n');
}

/** Rows as aligned columns, two spaces apart, nothing at the ends of lines. Numbers are given as `{ right: '12' }`. */
type Cell = string | { readonly right: string };

export function columns(rows: readonly (readonly Cell[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(textOf(cell)));
    });
  }
  return rows.map((row) =>
    row
      .map((cell, index) =>
        typeof cell === 'string' ? padEnd(cell, widths[index]!) : padStart(cell.right, widths[index]!),
      )
      .join('  ')
      .trimEnd(),
  );
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell.right);

/** `1 database`, `12 databases`. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${integer(count)} ${count === 1 ? one : many}`;

/** `1,234,567`. Not by toLocaleString, which loads data of all languages first. */
export const integer = (value: number): string => String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');

/** Bytes in powers of 1024, as PostgreSQL's own pg_size_pretty counts: `742 MB`. */
export function bytes(value: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit > 0 && amount < 10 ? 1 : 0;
  return value === 1 ? '1 byte' : `${amount.toFixed(digits)} ${units[unit]}`;
}

/** `840 ms`, `12 s`, `3m 05s`, `2h 10m`, `3d 4h`. */
export function duration(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${String(seconds % 60).padStart(2, '0')}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${String(minutes % 60).padStart(2, '0')}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** `2026-11-23 04:25:49 UTC`, of milliseconds since 1970. */
export const moment = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** `███████░░░░░`; with nothing to do it is full. */
export function bar(done: number, total: number, width: number): string {
  const share = total <= 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const full = Math.floor(share * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** `37%`; 100% only when it is all. */
export function percent(done: number, total: number): string {
  if (total <= 0 || done >= total) return '100%';
  return `${Math.min(99, Math.max(0, Math.floor((done / total) * 100)))}%`;
}
