import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createSlotCommand } from '../../../src/postgres/replication-session.ts';
import { fragment, sql } from '../../../src/postgres/sql.ts';
import type { Sql } from '../../../src/postgres/sql.ts';
import { majorOf, majorOfText, offers } from '../../../src/postgres/versions.ts';
import { OLD_MAJORS, unknownWords } from '../../helpers/old-catalogs.ts';
import { OTHER_EXPORTS, sourceQueries, sourceStatements } from '../../helpers/source-queries.ts';

const isAsked = (major: number, from = 0, to = 99) => from <= major && major <= to;

describe.each(OLD_MAJORS)('a source of %d', (major) => {
  const queries = [...sourceQueries('shop'), ...sourceStatements(major)].filter(({ from, to }) =>
    isAsked(major, from, to),
  );

  test.each(queries.map(({ name, query }) => [name, query] as const))('%s', (_, query) => {
    expect(unknownWords(query.at(major).text, major)).toEqual([]);
  });
});

describe('the documented words', () => {
  const of = (statement: Sql, major: number) => unknownWords(statement.text, major);

  test.each<[string, Sql, number, number]>([
    ['pg_current_wal_lsn', sql`select pg_current_wal_lsn()`, 9.6, 10],
    ['relispartition', sql`select c.relispartition from pg_class c`, 9.6, 10],
    ['confirmed_flush_lsn', sql`select s.confirmed_flush_lsn from pg_replication_slots s`, 9.5, 9.6],
    ['active_pid', sql`select active_pid from pg_replication_slots`, 9.4, 9.5],
    ['pg_control_system', sql`select system_identifier from pg_control_system()`, 9.5, 9.6],
    ['pg_policy', sql`select polname from pg_policy`, 9.4, 9.5],
    ['backend_type', sql`select a.backend_type from pg_stat_activity a`, 9.6, 10],
    ['pg_subscription', sql`select from pg_subscription`, 9.6, 10],
    ['pg_hba_file_rules', sql`select type from pg_hba_file_rules`, 9.6, 10],
    ['to_jsonb', sql`select to_jsonb(c)->>'oid' from pg_class c`, 9.4, 9.5],
    ['regnamespace', sql`select 'public'::regnamespace`, 9.4, 9.5],
    ['ON CONFLICT', sql`insert into "t" select 1 on conflict do nothing`, 9.4, 9.5],
    ['current_setting(name, missing_ok)', sql`select current_setting('x', true)`, 9.5, 9.6],
    ['rolbypassrls', sql`select rolbypassrls from pg_roles`, 9.4, 9.5],
  ])('%s came later', (word, statement, without, since) => {
    const majors = OLD_MAJORS.filter((major) => of(statement, major).includes(word));
    expect(majors).toEqual(OLD_MAJORS.filter((major) => major < since));
    expect(majors).toContain(without);
  });

  test('a column counts only where its relation is named', () => {
    expect(of(sql`select c.relname from pg_class c`, 9.4)).toEqual([]);
    expect(of(sql`select c.relname from pg_type c`, 9.4)).toEqual(['relname']);
  });

  test('names that the statement declares, and values, are no matter', () => {
    const statement = sql`with recursive tree (root, leaf) as (select oid, oid from pg_class where relname = 'pg_subscription'),
        other as (select root as stem from tree) -- attidentity
      select t.root, x."backend_type", y.one from tree t join other on stem = t.leaf
       cross join unnest(${['a']}::text[]) as x (one, two), (select 1 as n) y where ${fragment`x.two`} is null`;
    expect(of(statement, 9.4)).toEqual([]);
  });
});

test('every export of the catalog folder is either asked of sources or known not to be', async () => {
  const folder = join(import.meta.dirname, '../../../src/postgres/catalog');
  const listed = new Set([...sourceQueries('shop').map(({ name }) => name), ...OTHER_EXPORTS]);
  const forgotten: string[] = [];
  for (const file of readdirSync(folder)) {
    const exported = (await import(join(folder, file))) as Record<string, unknown>;
    for (const [name, value] of Object.entries(exported)) {
      const full = `${file.replace('.ts', '')}.${name}`;
      if (typeof value === 'function' && !listed.has(full)) forgotten.push(full);
    }
  }
  expect(forgotten).toEqual([]);
});

test.each([
  [90_426, '9.4.26', 9.4],
  [90_500, '9.5.0', 9.5],
  [90_624, '9.6.24 on x86', 9.6],
  [100_023, '10.23', 10],
  [150_020, '15.20 (Debian 15.20-0+deb12u1)', 15],
  [180_000, '18beta1', 18],
])('%d, "%s" is %d', (number, text, major) => {
  expect(majorOf(number)).toBe(major);
  expect(majorOfText(text)).toBe(major);
});

test('a slot exports its snapshot, before 10 without being told', () => {
  const command = createSlotCommand('s', 'pglogical_output');
  expect(command.at(9.6).text).toBe('CREATE_REPLICATION_SLOT "s" LOGICAL "pglogical_output"');
  expect(command.at(10).text).toBe('CREATE_REPLICATION_SLOT "s" LOGICAL "pglogical_output" EXPORT_SNAPSHOT');
});

test('majors before 10 are in order', () => {
  expect([9.4, 9.5, 9.6, 10].map((major) => offers(major, 'controlData'))).toEqual([false, false, true, true]);
});
