import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FINDINGS } from '../../../src/operations/checks/findings.ts';

const FOLDERS = ['checks', 'comparison', 'drift', 'rehearsal', 'reverse'].map((name) =>
  join(import.meta.dirname, '../../../src/operations', name),
);

/** The codes that the checks' sources write down. */
function producedCodes(): string[] {
  const texts = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'findings.ts')
      .map((name) => readFileSync(join(folder, name), 'utf8')),
  );
  return texts.flatMap((text) => [
    ...[...text.matchAll(/\bcode: '([^']+)'/g)].map(([, code = '']) => code),
    // capacity.ts hands the code to a function.
    ...[...text.matchAll(/\bshort\(\s*'([^']+)'/g)].map(([, code = '']) => code),
  ]);
}

test('every code that a check produces is registered, and every registered code is produced', () => {
  expect([...new Set(producedCodes())].sort()).toEqual(FINDINGS.map(({ code }) => code).sort());
});

test('codes are unique and can be written into a configuration', () => {
  const codes = FINDINGS.map(({ code }) => code);
  expect(new Set(codes).size).toBe(codes.length);
  for (const code of codes) expect(code).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
});

test('each says what it means and what to do, in sentences', () => {
  for (const { meaning, remedy } of FINDINGS) {
    expect(meaning).toMatch(/^[A-Za-z`_].*\.$/s);
    expect(remedy).toMatch(/^[A-Z`].*\.$/s);
  }
});
