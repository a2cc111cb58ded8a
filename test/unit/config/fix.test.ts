import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { ConfigError } from '../../../src/errors.ts';
import { keyRules } from '../../../src/operations/tables/identity-remedy.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What operations get to see of `fix`. */
function load(fix: string) {
  writeFileSync(join(folder, 'pgconvoy.yaml'), `source: { host: old }\ntarget: { host: new }\n${fix}`, { mode: 0o600 });
  return loadConfig({ env: { HOME: folder }, cwd: folder }).settings.fix;
}

function refusal(fix: string): string {
  try {
    load(fix);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.replaceAll(join(folder, 'pgconvoy.yaml'), 'F');
    throw error;
  }
  throw new Error('it was accepted');
}

test('nothing said: auto, and no table in particular', () => {
  expect(load('')).toEqual({ default: 'auto', tables: [] });
});

test('each choice; a database may be left out', () => {
  const { tables } = load(`
fix:
  default: surrogate-key
  tables:
    - { table: public.a, choice: auto }
    - { database: 'app_*', table: 'public.log_*', choice: full }
    - { table: '"odd.name', choice: "index:My, \\"index\\"" }
    - { table: s.d, choice: surrogate-key }
    - { table: s.e, choice: skip }
`);
  expect(tables).toEqual([
    { database: '*', table: 'public.a', choice: { by: 'auto' } },
    { database: 'app_*', table: 'public.log_*', choice: { by: 'full' } },
    { database: '*', table: '"odd.name', choice: { by: 'index', index: 'My, "index"' } },
    { database: '*', table: 's.d', choice: { by: 'surrogate-key' } },
    { database: '*', table: 's.e', choice: { by: 'skip' } },
  ]);
});

test.each([
  [
    '{ table: public.a, choice: fulll }',
    /F:5:34: fix\.tables\.0\.choice: auto, full, surrogate-key, skip, or index:NAME/,
  ],
  ['{ table: public.a, choice: "index:" }', /index:NAME is expected/],
  ['{ table: log, choice: full }', /F:5:16: fix\.tables\.0\.table: a table with its schema, like public\.log/],
  ['{ table: public.a }', /fix\.tables\.0\.choice/],
  ['{ tabel: public.a, choice: full }', /unknown key "fix\.tables\.0\.tabel"/],
])('a rule that is wrong: %s', (rule, message) => {
  expect(refusal(`fix:\n  tables:\n    - ${rule}\n`)).toMatch(message);
});

test('a default that is none', () => {
  expect(refusal('fix: { default: full }')).toMatch(/fix\.default: one of auto, surrogate-key is expected/);
});

test('the lines that findings print are read back as what they mean', () => {
  const odd = { database: 'My "odd" DB, 100%', schema: 'a\\b', name: 'x${y} "z"\n\u{1F41F}' };
  expect(load(keyRules([odd, { database: 'shop', schema: 'public', name: 'log' }])).tables).toEqual([
    { database: odd.database, table: `${odd.schema}.${odd.name}`, choice: { by: 'surrogate-key' } },
    { database: 'shop', table: 'public.log', choice: { by: 'surrogate-key' } },
  ]);
});
