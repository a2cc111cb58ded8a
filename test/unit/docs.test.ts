import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/cli/program.ts';
import { knownKeys } from '../../src/config/keys.ts';
import { FINDINGS } from '../../src/operations/checks/findings.ts';
import { operations } from '../../src/operations/index.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGES = [
  'README.md',
  'docs/configuration.md',
  'docs/from-pgrepup.md',
  'docs/report.md',
  'docs/not-replicated.md',
];
const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

const program = await buildProgram();
const commands = new Set(program.commands.map((command) => command.name()));
const options = new Set(
  [program, ...program.commands].flatMap((command) =>
    command.options.flatMap(({ long, short }) => [long, short]).concat(['--help', '-h', '--version']),
  ),
);

/** What stands in code: between backticks, or in a block of its own. */
const codeOf = (text: string): string[] => [
  ...[...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, block = '']) => block.split('\n')),
  ...[...text.replaceAll(/^```.*?^```/gms, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code),
];

describe.each(PAGES)('%s', (page) => {
  const text = read(page);
  const lines = codeOf(text).filter((code) => /^pgconvoy [a-z]/.test(code));

  test('names commands and options that there are', () => {
    expect(lines.length).toBeGreaterThan(0);
    const wrong = lines.filter((line) => {
      const given = [...line.replace(/#.*/, '').matchAll(/(?<=\s|\[)--[a-z-]{2,}/g)].map(([option]) => option);
      return !commands.has(line.split(' ')[1]!) || given.some((option) => !options.has(option));
    });
    expect(wrong).toEqual([]);
  });

  test('leads to pages and headings that there are', () => {
    const links = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link = '']) => link);
    expect(links.filter((link) => !/^https?:/.test(link) && !leadsSomewhere(page, link))).toEqual([]);
  });
});

function leadsSomewhere(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const file = path === '' ? join(ROOT, page) : join(ROOT, dirname(page), path);
  if (!existsSync(file)) return false;
  const headings = [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
  return anchor === undefined || headings.includes(anchor);
}

describe('docs/from-pgrepup.md', () => {
  const ours = read('docs/from-pgrepup.md')
    .split('\n')
    .map((line) => line.replace(/^\| .*? \| (?=[^|]*\|$)/, ''))
    .join('\n');

  test('names findings that there are', () => {
    const named = [...ours.matchAll(/\[([a-z]+(?:-[a-z]+)+)\](?!\()/g)].map(([, code = '']) => code);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((code) => !FINDINGS.some((finding) => finding.code === code))).toEqual([]);
  });

  test('names operations and keys of the configuration that there are', () => {
    const keys = new Set(knownKeys().map(({ path }) => path.join('.')));
    const codes = codeOf(ours);
    const named = codes.filter((code) => /^[a-z]+(-[a-z]+)+$/.test(code));
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((code) => !operations.has(code))).toEqual([]);
    const dotted = codes.filter((code) => /^[a-z]+\.[a-zA-Z]+$/.test(code));
    expect(dotted.length).toBeGreaterThan(3);
    expect(dotted.filter((code) => !keys.has(code))).toEqual([]);
  });
});
