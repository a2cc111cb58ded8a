import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/engine/finding.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { fenceKey } from '../../../src/operations/cutover/fence.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { noteBaseline } from '../../../src/operations/drift/baseline.ts';
import { checkDrift } from '../../../src/operations/drift/check-drift.ts';
import { resyncDatabase } from '../../../src/operations/drift/resync.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { swapped } from '../../../src/operations/replication/way-back.ts';
import { grantReplicationRole } from '../../../src/operations/roles/grant-replication-role.ts';
import { buildIndexes } from '../../../src/operations/schema/build-indexes.ts';
import { awaitCatchUp } from '../../../src/operations/replication/await-catch-up.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { TestPair } from '../../helpers/pair.ts';
import { eventually } from '../../helpers/wait.ts';
import { richSchema12 } from '../schema/rich-schema.ts';
import { replicatedDatabase } from './replicated.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

const look = async (database: string): Promise<readonly Finding[]> => {
  const { findings } = await runOperation(checkDrift, pair.context(database));
  return findings;
};

test('a schema with nearly everything is the same on both majors, before and after it was looked at', async () => {
  const database = await replicatedDatabase(pair, 'Rich "drift"', richSchema12);
  expect(await look(database)).toEqual([]);
  expect(await look(database)).toEqual([]);
  // Writes a catalog, and is no DDL.
  await pair.query('source', database, 'truncate public.inherits');
  expect(await look(database)).toEqual([]);
});

describe('what somebody has done to one side alone', () => {
  const SCHEMA = `
    create table "Order Items" ("select" int primary key, note text, old int, total numeric default 0);
    create table gone (id int primary key);
    create table "before %" (id int primary key);
    create table again (id int primary key, note text);
    create table child (id int primary key, item int references "Order Items");
    create index on "Order Items" (note);
    create view items as select note from "Order Items";
    create function price(int) returns int language sql as 'select $1';
    create type mood as enum ('sad');
    create sequence numbers;`;
  const NEW = `
    alter table "Order Items" rename column old to "new, %";
    alter table "Order Items" alter column total type numeric(10, 2), alter column total set default 1, alter column total set not null;
    alter table "Order Items" add column "Größe" varchar(20) collate "C" not null default 'x';
    alter table "Order Items" drop column note cascade;
    drop table gone;
    alter table "before %" rename to "after %";
    drop table again; create table again (id int primary key, note text); insert into again values (2, 'new');
    create table brand_new (id serial primary key); insert into brand_new default values;
    create index later on child (item);
    alter table child add constraint positive check (id > 0);
    create or replace function price(int) returns int language sql as 'select $1 * 2';
    alter type mood add value 'ok';
    alter sequence numbers increment 5;
    grant select on child to public;`;
  let database: string;
  beforeAll(async () => {
    database = await replicatedDatabase(pair, 'Drift "odd" DB', SCHEMA);
    await pair.query('source', database, "insert into again values (1, 'old')");
    await eventually(async () => {
      if ((await pair.query('target', database, 'select id from again')).length !== 1) throw new Error('not yet');
    });
    await pair.query('source', database, NEW);
    await pair.query('target', database, 'create view mine as select 1; drop index "Order Items_note_idx"');
  });

  test('is named, object by object, with what to run', async () => {
    const findings = await look(database);
    const text = (line: string) => line.replaceAll(pair.suffix, 'SUFFIX');
    expect(findings.map(({ severity, message, remedy }) => [severity, text(message), text(remedy)])).toMatchSnapshot();
    for (const { code, database: named } of findings) expect([code, named]).toEqual(['schema-drift', database]);
  });

  test('a target that cannot apply rows because of it says so', async () => {
    const context = pair.context(database, { input: { bytes: 0 } });
    const deadlines = { ...context.settings.deadlines, catchUp: 1_500 };
    await pair.query('source', database, `insert into "Order Items" ("select") values (7)`);
    await expect(
      runOperation(awaitCatchUp, { ...context, settings: { ...context.settings, deadlines } }),
    ).rejects.toMatchObject({
      message: expect.stringContaining('column "Größe" was added on the source'),
      hint: expect.stringContaining('ADD COLUMN "Größe"'),
    });
  });

  test('and gone when that was run', async () => {
    for (const { severity, remedy } of await look(database)) {
      const [, statements] =
        /^On the target, in that database: ([^]*?)(?: Do to [^]*| Then pgconvoy [^]*)?$/.exec(remedy) ?? [];
      if (severity === 'block' && statements !== undefined) await pair.query('target', database, statements);
    }
    await pair.query('target', database, `alter type mood add value 'ok'; grant select on child to public`);
    const { findings, copied } = await resyncDatabase(pair.context(database), []);
    expect(findings.map(({ message }) => message)).toEqual(['view "public"."mine" is on the target alone']);
    expect(copied).toEqual([
      { schema: 'public', name: 'brand_new' },
      { schema: 'public', name: 'again' },
    ]);
    await pair.query(
      'source',
      database,
      `insert into brand_new values (7); insert into again values (8); insert into "after %" values (9)`,
    );
    await eventually(async () => {
      const [row] = await pair.query(
        'target',
        database,
        `select (select array_agg(id order by id) from brand_new) as new, (select array_agg(id order by id) from again) as again,
                (select array_agg(id) from "after %") as after, price(2)`,
      );
      expect(row).toEqual({ new: [1, 7], again: [2, 8], after: [9], price: 4 });
    });
  });
});

test('setup and start again take in what is new, and setup names what a person has to change', async () => {
  const database = await replicatedDatabase(pair, 'again "setup"', 'create table t (id int primary key)');
  await pair.query(
    'source',
    database,
    `alter table t add column "Größe" int; create table new (id serial primary key, t int unique references t); insert into new values (1)`,
  );
  await expect(runOperation(copySchema, pair.context(database))).rejects.toMatchObject({
    message: expect.stringMatching(
      /the schema of the source has changed since it was copied: .*column "Größe" was added/s,
    ),
    hint: expect.stringContaining('ALTER TABLE "public"."t" ADD COLUMN "Größe" integer;'),
  });
  await pair.query('target', database, 'alter table t add column "Größe" int');
  for (const operation of [copySchema, grantReplicationRole, createPublication, copyTables, buildIndexes]) {
    await runOperation(operation, pair.context(database));
  }
  expect(await look(database)).toEqual([]);
  expect(await pair.query('target', database, 'select id from new')).toEqual([{ id: 1 }]);

  // Rows that differ, in a table that another one refers to: copied anew, alone.
  await pair.query('source', database, 'insert into t values (1), (2); insert into new values (2, 1)');
  await eventually(async () => {
    expect(await pair.query('target', database, 'select t from new order by id')).toEqual([{ t: null }, { t: 1 }]);
  });
  await pair.query('target', database, 'update t set "Größe" = 9; insert into t values (3)');
  const { copied, findings } = await resyncDatabase(pair.context(database), ['t']);
  expect([copied, findings]).toEqual([[{ schema: 'public', name: 't' }], []]);
  expect(await pair.query('target', database, 'select id, "Größe" as size from t order by id')).toEqual([
    { id: 1, size: null },
    { id: 2, size: null },
  ]);
  await expect(resyncDatabase(pair.context(database), ['nothing'])).rejects.toThrow(/there is no table nothing/);
});

describe('between the last look and the fence', () => {
  let database: string;
  beforeAll(async () => {
    database = await replicatedDatabase(pair, 'late "DDL"', 'create table t (id int primary key)');
  });

  test('DDL is seen behind the fence, which goes down again', async () => {
    expect(await look(database)).toEqual([]);
    await pair.query('source', database, 'create table late (id int primary key)');
    await expect(runOperation(fenceSource, pair.context(database))).rejects.toMatchObject({
      name: 'BlockedByFindings',
      message: expect.stringMatching(/table "public"."late" was made on the source.*the source takes writes/),
      hint: expect.stringContaining('pgconvoy resync'),
    });
    await pair.query('source', database, 'insert into late values (1)');
    expect(await pair.context(database).sourceLedger.find(fenceKey(database))).toBeUndefined();
  });

  test('unless it is accepted in this database', async () => {
    const context = pair.context(database);
    const accept = [`schema-drift:${database}`];
    const { changed } = await runOperation(fenceSource, { ...context, settings: { ...context.settings, accept } });
    expect(changed).toBe(true);
    expect(await fenceSource.undo!(pair.context(database))).toBe(true);
  });

  test('a transaction that writes to a table while that is taken in loses nothing', async () => {
    const { host, port, user, password } = pair.source;
    const writer = new pg.Client({ host, port, user, password, database });
    await writer.connect();
    await writer.query('begin; insert into late values (2)');
    const notes: string[] = [];
    const resync = resyncDatabase(pair.context(database, { onProgress: ({ note }) => notes.push(note ?? '') }), []);
    await eventually(() => {
      if (!notes.some((note) => note.includes('publishing the tables'))) throw new Error('nobody waits yet');
    });
    await writer.query('insert into late values (3); commit; insert into late values (4)');
    await writer.end();
    expect(await resync).toEqual({ copied: [{ schema: 'public', name: 'late' }], findings: [] });
    await eventually(async () => {
      expect(await pair.query('target', database, 'select id from late order by 1')).toEqual([
        { id: 1 },
        { id: 2 },
        { id: 3 },
        { id: 4 },
      ]);
    });
  });

  test('on the way back each cluster is called what it is, and nobody is sent to a command for the other direction', async () => {
    const back = swapped(pair.context(database));
    await noteBaseline(back);
    await pair.query('target', database, 'create table newest (id int primary key); alter table t add note text');
    await pair.query('source', database, 'create table alone (id int primary key); drop table late');
    const { findings } = await runOperation(checkDrift, back);
    expect(findings.map(({ side, severity, message }) => [side, severity, message])).toEqual([
      ['source', 'warning', 'table "public"."alone" is on the source alone'],
      ['source', 'block', 'table "public"."late" was dropped on the source'],
      ['target', 'block', 'table "public"."newest" was made on the target, and the source lacks it'],
      ['target', 'block', 'table "public"."t": column "note" was added on the target (text)'],
    ]);
    expect(findings.map(({ remedy }) => remedy.split(':')[0])).toEqual([
      'If nobody needs it, on the source, in that database',
      'On the source, in that database',
      'On the source, in that database',
      'On the source, in that database',
    ]);
  });
});
