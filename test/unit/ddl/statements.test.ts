import { describe, expect, test } from 'vitest';
import { planDdl, splitStatements } from '../../../src/operations/ddl/statements.ts';

describe('a text is cut where psql cuts it', () => {
  test.each([
    ['one', ['one']],
    [
      ' create table a (b int); ;; -- nothing;\n drop table c ;',
      ['create table a (b int)', '-- nothing;\n drop table c'],
    ],
    [
      `comment on table t is 'a;b''c;'; create table "x;y" (a int)`,
      [`comment on table t is 'a;b''c;'`, 'create table "x;y" (a int)'],
    ],
    [`comment on table t is E'a\\';b'; drop table t`, [`comment on table t is E'a\\';b'`, 'drop table t']],
    [
      'create function f() returns int language sql as $a$ select 1; $$;$$ $a$; drop table t',
      ['create function f() returns int language sql as $a$ select 1; $$;$$ $a$', 'drop table t'],
    ],
    ['/* a; /* b; */ c; */ create schema s; drop schema s', ['/* a; /* b; */ c; */ create schema s', 'drop schema s']],
    [
      'create function f(a int) returns int begin atomic select case when a = 1 then 2 end; select 3; end; drop table t',
      [
        'create function f(a int) returns int begin atomic select case when a = 1 then 2 end; select 3; end',
        'drop table t',
      ],
    ],
    [
      'create rule r as on delete to t do also (delete from a; delete from b); drop table t',
      ['create rule r as on delete to t do also (delete from a; delete from b)', 'drop table t'],
    ],
    ['-- only a comment', []],
  ])('%s', (text, statements) => {
    expect(splitStatements(text)).toEqual(statements);
  });
});

describe('order', () => {
  test.each([
    ['create table t (a int)', 'target-first'],
    ['create index i on t (a); comment on index i is $$x$$; grant select on t to public', 'target-first'],
    ['set role app; create view v as select 1', 'target-first'],
    ['create unique index i on t (a)', 'together'],
    ['alter table t add column a int', 'together'],
    ['create table u (a int); drop table t', 'together'],
    ['create index concurrently on t (a)', 'alone'],
    ['CREATE UNIQUE INDEX CONCURRENTLY ON t (a)', 'alone-source-first'],
    ['drop index concurrently i', 'alone'],
    [`alter type mood add value 'ok'`, 'alone'],
  ] as const)('%s: %s', (text, order) => {
    expect(planDdl(text).order).toBe(order);
  });
});

describe('what may not run on both sides is refused, and nothing of it is repeated but its first words', () => {
  test.each([
    [`create role app password 'secret'`, 'CREATE ROLE'],
    [`alter user app with password 'secret'`, 'ALTER USER'],
    [`create user mapping for app server s options (password 'secret')`, 'CREATE USER'],
    [`alter table t add column a int; update t set a = 1 where b = 'secret'`, 'UPDATE'],
    [`do $$ begin perform 'secret'; end $$`, 'DO'],
    ['begin; create table secret (a int); commit', 'BEGIN'],
    ['with secret as (select 1) select', 'WITH'],
    [`alter system set archive_command = 'secret'`, 'ALTER SYSTEM'],
    ['drop database secret', 'DROP DATABASE'],
    ['alter publication secret add table t', 'ALTER PUBLICATION'],
    ['vacuum secret', 'VACUUM'],
    ['drop schema pgconvoy cascade', 'DROP SCHEMA'],
    ['drop schema "pgconvoy" cascade', 'DROP SCHEMA'],
    ['create index concurrently on t (a); drop table t', 'CREATE INDEX'],
    [' ; -- nothing', 'no statement'],
  ])('%s', (text, named) => {
    expect(() => planDdl(text)).toThrow(
      expect.objectContaining({ exitCode: 2, message: expect.stringContaining(named) }),
    );
    expect(() => planDdl(text)).not.toThrow(/secret/i);
  });
});
