import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/engine/finding.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { checkDrift } from '../../../src/operations/drift/check-drift.ts';
import { resyncDatabase } from '../../../src/operations/drift/resync.ts';
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
