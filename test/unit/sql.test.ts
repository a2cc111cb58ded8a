import { describe, expect, test } from 'vitest';
import { fragment, id, join, lit, since, sql } from '../../src/postgres/sql.ts';

describe('the sql tag', () => {
  test('values become parameters, never text', () => {
    const statement = sql`select ${"x'; drop table t; --"} from ${id('My "odd" DB', 'Order Items')} where a = ${1}`;
    expect(statement.text).toBe('select $1 from "My ""odd"" DB"."Order Items" where a = $2');
    expect(statement.values).toEqual(["x'; drop table t; --", 1]);
  });

  test('a statement inside a statement gets its parameters renumbered', () => {
    const inner = sql`a = ${1} and b = ${2}`;
    const outer = sql`select ${0} where ${inner} or c = ${3}`;
    expect(outer.text).toBe('select $1 where a = $2 and b = $3 or c = $4');
    expect(outer.values).toEqual([0, 1, 2, 3]);
  });

  test('several statements in one message have their values as literals', () => {
    expect(sql`select ${"it's"}::text, ${['a "b"', 'c\\d']}::text[], ${null}::int`.inlineAt(18)).toBe(
      `select 'it''s'::text,  E'{"a \\\\"b\\\\"","c\\\\\\\\d"}'::text[], null::int`,
    );
    expect(sql`drop table ${id('a$1')}`.inlineAt(18)).toBe('drop table "a$1"');
  });

  test('literals survive quotes and backslashes', () => {
    expect(sql`alter role r password ${lit("a'b\\c")}`.text).toBe("alter role r password  E'a''b\\\\c'");
  });

  test('fragments come and go', () => {
    const list = join([id('a'), id('b c')]);
    expect(sql`alter publication p add table ${fragment`only ${list}`}`.text).toBe(
      'alter publication p add table only "a", "b c"',
    );
  });

  test('the server that runs a statement decides what majors write differently', () => {
    const lsn = since('walNames', fragment`pg_current_wal_lsn()`, fragment`pg_current_xlog_location()`);
    const known = since('onConflict', sql`on conflict do nothing`, sql`where a <> ${2}`);
    const statement = sql`insert into t select ${join([lsn, fragment`${lsn}`])}, ${1} ${known}`;
    expect(statement.at(9.4)).toEqual({
      text: 'insert into t select pg_current_xlog_location(), pg_current_xlog_location(), $1 where a <> $2',
      values: [1, 2],
    });
    expect(statement.at(9.5).text).toContain('on conflict do nothing');
    expect(statement.at(10)).toEqual({
      text: 'insert into t select pg_current_wal_lsn(), pg_current_wal_lsn(), $1 on conflict do nothing',
      values: [1],
    });
    expect(statement.text).toBe(statement.at(18).text);
  });
});
