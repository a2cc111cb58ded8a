import { describe, expect, test } from 'vitest';
import { parseSetting, sameSetting, setClause } from '../../../src/postgres/settings.ts';

describe('setClause', () => {
  test.each([
    ['search_path="$user", public', `"search_path" to '$user', 'public'`],
    ['search_path="My, ""odd"" schema", b', `"search_path" to 'My, "odd" schema', 'b'`],
    ['search_path=""', `"search_path" to ''`],
    ['search_path=', `"search_path" to ''`],
    ['work_mem=64MB', `"work_mem" to '64MB'`],
    ['app.tenant=a, b = "c"', `"app"."tenant" to 'a, b = "c"'`],
    ["log_line_prefix=it's \\ %m", `"log_line_prefix" to  E'it''s \\\\ %m'`],
  ])('%s', (text, clause) => {
    expect(setClause(parseSetting(text)).text).toBe(clause);
  });
});

test('lists are the same however their names are quoted', () => {
  expect(sameSetting(parseSetting('search_path=a, "b"'), parseSetting('search_path="a",b'))).toBe(true);
  expect(sameSetting(parseSetting('search_path=a, b'), parseSetting('search_path="a, b"'))).toBe(false);
  expect(sameSetting(parseSetting('work_mem=1MB'), parseSetting('work_mem=2MB'))).toBe(false);
});
