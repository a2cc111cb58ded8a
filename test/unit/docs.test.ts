import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { brokenLinks, pages, read } from '../../scripts/docs/links.ts';
import { withOperations } from '../../scripts/docs/how-it-works.ts';
import { thrownErrors } from '../../scripts/docs/thrown.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { keysAt, knownKeys } from '../../src/config/keys.ts';
import { FINDINGS } from '../../src/operations/checks/findings.ts';
import { operations } from '../../src/operations/index.ts';

const program = quiet(await buildProgram());

/** Parses as it does, and does nothing. */
function quiet(made: Command): Command {
  for (const command of [made, ...made.commands]) {
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
    if (command !== made) command.action(() => {});
  }
  return made;
}

/** What stands in code: between backticks, or in a block of its own. Where a block has prompts, the rest of it is output. */
const codeOf = (text: string): string[] => [
  ...[...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, block = '']) => {
    const lines = block.replaceAll('\\\n', ' ').split('\n');
    const typed = lines.filter((line) => line.startsWith('$ '));
    return typed.length > 0 ? typed.map((line) => line.slice(2)) : lines;
  }),
  ...[...text.replaceAll(/^```.*?^```/gms, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code),
];

/** The words behind the name of the program, as a shell would hand them over; undefined where the line is none of its commands. */
function wordsOf(line: string): string[] | undefined {
  const [, rest] =
    /^(?:(?:sudo |docker compose run --rm |ExecStart=\/usr\/local\/bin\/|[A-Z_]+=\S+ )*)pgconvoy( .*)$/.exec(line) ??
    [];
  if (rest === undefined || !/^ (?:--?)?[a-z]/.test(rest)) return undefined;
  const [command = ''] = /^(?:"[^"]*"|'[^']*'|[^"'#|;&>]|(?<! )#)*/.exec(rest.replaceAll(/[[\]]/g, '')) ?? [];
  return [...command.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replaceAll(/["']/g, ''));
}

async function refusal(line: string): Promise<string | undefined> {
  try {
    await program.parseAsync(wordsOf(line)!, { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? undefined : `${line}: ${error.message}`;
  }
}

const refused = async (text: string): Promise<string[]> => {
  const answers: (string | undefined)[] = [];
  // One after the other: the program keeps what it has parsed.
  for (const line of codeOf(text).filter(wordsOf)) answers.push(await refusal(line));
  return answers.flatMap((answer) => answer ?? []);
};

/** Keys in a piece of configuration that there are not. */
function unknownKeys(value: unknown, path: readonly string[] = []): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => unknownKeys(each, path));
  const known = keysAt(path);
  // What has no keys of its own takes any: names of databases, variables, headers.
  if (value === null || typeof value !== 'object' || known.length === 0) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    known.includes(key) ? unknownKeys(inner, [...path, key]) : [[...path, key].join('.')],
  );
}

const configurationsOf = (text: string): unknown[] =>
  [...text.matchAll(/^```yaml\n(.*?)^```/gms)]
    .map(([, block = '']): unknown => parse(block))
    .filter((found) => !(found instanceof Object && 'apiVersion' in found));

test('a key of the configuration that there is not is noticed', () => {
  const text =
    '```yaml\nqueue: { urll: a }\ncutover: { hooks: [{ at: opened, comand: [a], environment: { ANY: b } }] }\nany: 1\n```\n';
  expect(unknownKeys(configurationsOf(text)[0])).toEqual(['queue.urll', 'cutover.hooks.comand', 'any']);
});

test('a command, option or argument that there is not is noticed', async () => {
  const wrong = [
    'pgconvoy chekc',
    'pgconvoy stop --now',
    'pgconvoy status one two',
    'docker compose run --rm pgconvoy plan x y',
  ];
  const right = ['pgconvoy stop --yes  # now', 'pgconvoy ddl shop -- "ALTER TABLE a ADD b int; SELECT 1" | cat'];
  expect(await refused(`\`\`\`\n${[...wrong, ...right].join('\n')}\n\`\`\``)).toHaveLength(wrong.length);
  expect(await refused('```\n$ pgconvoy status\npgconvoy chekc\n```')).toEqual([]);
});

test('a link that leads nowhere is noticed', () => {
  const text =
    '# One\n[a](#one) [b](#two) [c](../README.md) [d](nowhere.md) [e](cutover.md#the-deadline) [f](cutover.md#no)\n';
  expect(brokenLinks('docs/rollback.md', text)).toHaveLength(3);
});

describe.each(pages())('%s', (page) => {
  const text = read(page);

  test('names commands and options that there are', async () => {
    expect(await refused(text)).toEqual([]);
  });

  test('names keys of the configuration that there are', () => {
    expect(configurationsOf(text).flatMap((found) => unknownKeys(found))).toEqual([]);
  });

  test('leads to pages and headings that there are', () => {
    expect(brokenLinks(page, text)).toEqual([]);
  });
});

describe.each(['pgconvoy-worker@.service', 'pgconvoy-board.service'])('docs/systemd/%s', (unit) => {
  const lines = read(`docs/systemd/${unit}`)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

  test('has settings that systemd knows, and a command that there is', async () => {
    const known =
      /^(\[(Unit|Service|Install)\]$|(Description|Wants|After|User|Environment|EnvironmentFile|ExecStart|Restart|RestartSec|KillSignal|TimeoutStopSec|NoNewPrivileges|PrivateTmp|ProtectHome|ProtectSystem|WantedBy)=\S)/;
    expect(lines.filter((line) => !known.test(line))).toEqual([]);
    expect(lines.filter((line) => line.startsWith('ExecStart=') && wordsOf(line))).toHaveLength(1);
    expect(await refused(`\`\`\`\n${lines.join('\n')}\n\`\`\``)).toEqual([]);
  });
});

test('an operation that nobody explains is noticed', () => {
  const page = read('docs/how-it-works.md');
  expect(() => withOperations(page.replace('### `await-lsn`', '### `await-end`'))).toThrow(
    'Lacking: await-lsn. Not there: await-end.',
  );
});

test('errors are read from the program with message, remedy and what becomes of the step', () => {
  const errors = thrownErrors();
  expect(errors.length).toBeGreaterThan(100);
  expect(errors.find(({ message }) => message.startsWith('source and target are the same cluster'))).toMatchObject({
    area: 'runtime',
    disposition: 'give-up',
    exit: 'usage',
    hint: expect.stringContaining('correct host or port of one of them'),
  });
  expect(
    errors.filter(({ message, hint }) => /\$\{|`/.test(message.replaceAll(/`[^`]+`/g, '')) || hint.includes('${')),
  ).toEqual([]);
});

test('whether a finding blocks is what the checks say', () => {
  const said = [...sources().matchAll(/code: '([\w-]+)',\s+severity: '(\w+)'/g)];
  expect(said.length).toBeGreaterThan(40);
  const known = new Map<string, string>(FINDINGS.map(({ code, severity }) => [code, severity]));
  expect(said.filter(([, code = '', severity]) => ![severity, 'either'].includes(known.get(code)))).toEqual([]);
});

const sources = (): string =>
  readdirSync(join(import.meta.dirname, '../../src/operations'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('findings.ts'))
    .map((name) => read(`src/operations/${name}`))
    .join('\n');

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
