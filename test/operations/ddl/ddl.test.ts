import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { runDdl } from '../../../src/operations/ddl/ddl.ts';
import { planDdl } from '../../../src/operations/ddl/statements.ts';
import { checkDrift } from '../../../src/operations/drift/check-drift.ts';
import { unfinishedDdl, writeRecord } from '../../../src/operations/drift/ddl-record.ts';
import { resyncDatabase } from '../../../src/operations/drift/resync.ts';
import { TestPair } from '../../helpers/pair.ts';
import { eventually } from '../../helpers/wait.ts';
import { replicatedDatabase } from '../drift/replicated.ts';

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await replicatedDatabase(
    pair,
    'My "ddl" DB',
    `create table "Order Items" ("select" serial primary key, note text not null, price numeric);
     create table other (id serial primary key, at timestamptz);
     insert into "Order Items" (note) select 'first' from generate_series(1, 100);
     insert into other select from generate_series(1, 10);`,
  );
});
afterAll(() => pair[Symbol.asyncDispose]());

const ddl = (statement: string, signal?: AbortSignal) =>
  runDdl(pair.context(database, signal ? { signal } : {}), statement, planDdl(statement), 'test');

const rows = (side: 'source' | 'target', table: string) =>
  pair.query(side, database, `select * from ${table} order by 1`);

async function proveSame(...tables: string[]): Promise<void> {
  for (const table of tables) {
    await eventually(async () => {
      expect(await rows('target', table)).toEqual(await rows('source', table));
    });
  }
  expect((await runOperation(checkDrift, pair.context(database))).findings).toEqual([]);
}

/** Somebody who writes all the time, also while a table changes; columns come and go. */
async function whileWriting(body: () => Promise<void>): Promise<number> {
  const { host, port, user, password } = pair.source;
  const client = new pg.Client({ host, port, user, password, database });
  await client.connect();
  const stop = new AbortController();
  let written = 0;
  const writer = (async () => {
    while (!stop.signal.aborted) {
      const [first] = (
        await client.query<{ column: string }>(
          `select attname as column from pg_attribute where attrelid = '"Order Items"'::regclass and attnum > 1 and not attisdropped order by attnum limit 1`,
        )
      ).rows;
      const column = pg.escapeIdentifier(first!.column);
      // Between the look and the write the column may have got another name.
      await client
        .query(`insert into "Order Items" (${column}) values ('written')`)
        .catch((error: pg.DatabaseError) => {
          if (error.code !== '42703') throw error;
        });
      await client
        .query(`update "Order Items" set price = coalesce(price, 0) + 1 where "select" % 7 = 0`)
        .catch(() => {});
      written++;
    }
  })();
  try {
    await body();
  } finally {
    stop.abort();
    await writer;
    await client.end();
  }
  return written;
}

describe('statements that rows depend on, while somebody writes', () => {
  test.each([
    ['a new column', `alter table "Order Items" add column "new, %" text not null default 'x'`],
    ['a column under another name', `alter table "Order Items" rename column note to "Größe"`],
    ['a column of another type', `alter table "Order Items" alter column price type numeric(20, 4)`],
    ['a column that is dropped', `alter table "Order Items" drop column "new, %"`],
    [
      'several at once',
      `alter table "Order Items" add column a int; alter table "Order Items" add column b int; create index on "Order Items" (a)`,
    ],
    ['a table under another name and back', `alter table other rename to another; alter table another rename to other`],
    ['a constraint', `alter table "Order Items" add constraint "check %" check ("select" > 0)`],
  ])('%s', async (_, statement) => {
    const written = await whileWriting(async () => {
      expect(await ddl(statement)).toEqual({ resumed: false, copied: [] });
    });
    expect(written).toBeGreaterThan(0);
    await proveSame('"Order Items"', 'other');
  });

  test('a column whose values each side would work out for itself: that table is copied anew', async () => {
    await whileWriting(async () => {
      const { copied } = await ddl(
        `alter table other add column id2 uuid default gen_random_uuid(); alter table "Order Items" add column c int default 7`,
      );
      expect(copied).toEqual([{ schema: 'public', name: 'other' }]);
    });
    await proveSame('"Order Items"', 'other');
  });
});

describe('statements that no row waits for', () => {
  test('a new table travels: its rows are copied and what comes after streams', async () => {
    const { copied } = await ddl(
      `create table "brand new" (id serial primary key, item int references "Order Items");
       create table made as select 1 as id; alter table made add primary key (id);
       create view items as select "select" from "Order Items"`,
    );
    expect(copied).toEqual([
      { schema: 'public', name: 'brand new' },
      { schema: 'public', name: 'made' },
    ]);
    await pair.query(
      'source',
      database,
      `insert into "brand new" (item) values (1), (null); insert into made values (2)`,
    );
    await proveSame('"brand new"', 'made');
  });

  test('a table without a key gets an identity, so that nothing written to it fails', async () => {
    await ddl('create table keyless (a int)');
    await pair.query('source', database, 'insert into keyless values (1), (2); delete from keyless where a = 1');
    await proveSame('keyless');
  });

  test.each([
    ['create index concurrently "odd %" on "Order Items" (a)'],
    ['create unique index concurrently on "brand new" (item)'],
    ['drop index concurrently "odd %"'],
    [`create type mood as enum ('sad')`],
    [`alter type mood add value 'ok'`],
    ['create or replace function twice(int) returns int language sql as $$ select $1 * 2; $$'],
    ['drop view items; drop table made'],
    ['grant select on "Order Items" to public; comment on table "Order Items" is $$it; "odd"$$'],
  ])('%s', async (statement) => {
    await ddl(statement);
    await proveSame('"Order Items"');
  });
});

describe('what goes wrong', () => {
  test('a side that refuses leaves both as they were', async () => {
    await pair.query('target', database, 'create table in_the_way (id int primary key)');
    await expect(
      ddl('alter table other add column d int; create table in_the_way (id int primary key)'),
    ).rejects.toMatchObject({
      message: expect.stringMatching(/^target, .*"in_the_way" already exists \(statement 2 of 2\)/),
      hint: expect.stringContaining('Neither side has changed'),
    });
    await expect(ddl('create table in_the_way (id int primary key)')).rejects.toThrow(/^target, /);
    await expect(ddl('alter table nowhere add column d int')).rejects.toThrow(/^source, .*does not exist/);
    await pair.query('target', database, 'drop table in_the_way');
    await proveSame('other');
  });

  test('who holds the lock is named, and nobody waits behind us for long', async () => {
    await using hasty = await TestPair.open({ settings: { deadlines: { lockTimeout: '300ms', lock: '1s' } } });
    const busy = await replicatedDatabase(hasty, 'busy', 'create table t (id int primary key)');
    const { host, port, user, password } = hasty.source;
    const holder = new pg.Client({ host, port, user, password, database: busy, application_name: 'my app' });
    await holder.connect();
    await holder.query('begin; select from t');
    const statement = 'alter table t add column a int';
    await expect(runDdl(hasty.context(busy), statement, planDdl(statement), 'test')).rejects.toMatchObject({
      message: expect.stringMatching(/^source, .*the lock is held by pid \d+ \(user "postgres", my app/),
      hint: expect.stringContaining('Neither side has changed'),
      disposition: 'wait',
    });
    await holder.query('commit');
    await holder.end();
    expect(await runDdl(hasty.context(busy), statement, planDdl(statement), 'test')).toMatchObject({ resumed: false });
  });

  test('killed anywhere, it is finished by running it again', async () => {
    const statement =
      'alter table other add column e int; alter table other drop column id2; create table after_kill (id int primary key)';
    for (const delay of [20, 60, 90, 110, 130, 150, 200, 300]) {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(new Error('killed by the test')), delay);
      const done = await ddl(statement, controller.signal).then(
        () => true,
        () => false,
      );
      clearTimeout(timer);
      if (done) break;
    }
    // Through already where the last attempt was not killed in time.
    const again = await ddl(statement).catch((error: unknown) => (error as { sqlstate?: string }).sqlstate);
    expect([{ resumed: true }, { resumed: false }, '42701']).toContainEqual(
      typeof again === 'object' ? { resumed: again.resumed } : again,
    );
    await pair.query('source', database, 'insert into after_kill values (1)');
    await proveSame('other', 'after_kill');
    expect(await unfinishedDdl(pair.context(database))).toBeUndefined();
  });

  test('broken off between the two commits, it is named, in nobody else’s way, and finished', async () => {
    const context = pair.context(database);
    const statement = 'alter table other rename column e to f';
    await pair.query('source', database, statement);
    const [row] = await pair.query(
      'source',
      database,
      `select xmin::text as id from pg_attribute where attrelid = 'other'::regclass and attname = 'f'`,
    );
    await writeRecord(context, { statement, by: 'test', source: String(row!['id']), target: null, finished: false });
    await pair.query('source', database, 'insert into other (f) values (7)');

    const { findings } = await runOperation(checkDrift, pair.context(database));
    expect(findings.map(({ message, remedy }) => [message, remedy])).toEqual([
      [
        `pgconvoy ddl was interrupted between the two sides: ${statement}`,
        `pgconvoy ddl '${database}' -- '${statement}'`,
      ],
      [
        'table "public"."other": column "e" was renamed to "f" on the source',
        'On the target, in that database: ALTER TABLE "public"."other" RENAME COLUMN "e" TO "f";',
      ],
    ]);
    await expect(ddl('alter table other add column g int')).rejects.toMatchObject({
      message: expect.stringContaining('another pgconvoy ddl was broken off and has run on the source only'),
    });
    expect(await ddl(statement)).toEqual({ resumed: true, copied: [] });
    await proveSame('other');
  });
});

describe('with pglogical the statement travels between the rows', () => {
  test('a column, a table, a statement that the target refuses; a table alone is copied anew', async () => {
    await using other = await TestPair.open({ engine: 'pglogical' });
    const name = await replicatedDatabase(
      other,
      'pglogical "ddl"',
      `create table "Order Items" ("select" int primary key, note text); insert into "Order Items" values (1, 'first')`,
    );
    const run = (statement: string) => runDdl(other.context(name), statement, planDdl(statement), 'test');
    const same = async (table: string) => {
      const wanted = await other.query('source', name, `select * from ${table} order by 1`);
      await eventually(async () => {
        expect(await other.query('target', name, `select * from ${table} order by 1`)).toEqual(wanted);
      });
      expect((await runOperation(checkDrift, other.context(name))).findings).toEqual([]);
    };

    expect(
      await run(
        `alter table "Order Items" rename note to "note %"; alter table "Order Items" add column b int default 7`,
      ),
    ).toEqual({
      resumed: false,
      copied: [],
    });
    await other.query('source', name, `insert into "Order Items" values (2, 'second')`);
    await same('"Order Items"');

    expect(await run('create table "brand new" (id int primary key)')).toMatchObject({
      copied: [{ name: 'brand new' }],
    });
    await other.query('source', name, 'insert into "brand new" values (1)');
    await same('"brand new"');

    await other.query('target', name, 'create table in_the_way (id int primary key)');
    await expect(run('create table in_the_way (id int primary key)')).rejects.toThrow(/^target, .*already exists/);
    await other.query('target', name, 'drop table in_the_way');

    await other.query('target', name, 'delete from "Order Items" where "select" = 1');
    const { copied } = await resyncDatabase(other.context(name), ['public.Order Items']);
    expect(copied).toEqual([{ schema: 'public', name: 'Order Items' }]);
    await other.query('source', name, `insert into "Order Items" values (3, 'third')`);
    await same('"Order Items"');
  });
});
