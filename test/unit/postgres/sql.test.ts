import { expect, test } from 'vitest';
import { fragment, since, sql } from '../../../src/postgres/sql.ts';

test('a statement whose plan is kept has a name for each of its texts, and none for its values', () => {
  const statement = (value: string) =>
    sql`select ${since('walNames', fragment`pg_current_wal_lsn()`, fragment`pg_current_xlog_location()`)} where ${value} = 'a'`.kept();
  const name = (value: string, major: number) => statement(value).at(major).name;
  expect(name('a', 18)).toMatch(/^pgconvoy_[0-9a-f]{32}$/);
  expect(name('b', 18)).toBe(name('a', 18));
  expect(name('a', 9.6)).not.toBe(name('a', 18));
  expect(statement('a').at(18)).toMatchObject({ values: ['a'] });
  // As a part of another one it is only text.
  expect(sql`select * from (${statement('a')}) s`.at(18).name).toBeUndefined();
  expect(sql`select 1`.at(18).name).toBeUndefined();
});
