import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { createReplicationRole } from '../../../src/operations/roles/create-replication-role.ts';
import { grantReplicationRole } from '../../../src/operations/roles/grant-replication-role.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { setReplicaIdentity } from '../../../src/operations/tables/set-replica-identity.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import type { ContextOptions } from '../../helpers/pair.ts';
import { TestPair } from '../../helpers/pair.ts';

/** Every table counts as large and is filled page by page. */
const IN_BATCHES = { largeBytes: 0, batchPages: 1 };

const keyed = (...tables: string[]) => tables.map((table) => ({ table, choice: 'surrogate-key' }));

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open({
    settings: {
      deadlines: { lockTimeout: '100ms', lock: '300ms' },
      fix: {
        tables: [
          ...keyed(
            'public.documents',
            'My "s".Order Items, 100%',
            'public.unique_index',
            'public.deferred',
            'public.told',
          ),
          { table: 'public.left', choice: 'skip' },
          ...keyed('refused.*'),
        ],
      },
    },
  });
  await pair.query('source', 'postgres', `create role "owner ${pair.suffix}"; create role "app ${pair.suffix}"`);
});
afterAll(async () => {
  await pair[Symbol.asyncDispose]();
});

/** Everything that a change of tables could leave behind. */
async function shape(database: string, side: 'source' | 'target' = 'source'): Promise<string[]> {
  const rows = await pair.query(
    side,
    database,
    `select format('column %s.%s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, null), a.attnotnull,
                   col_description(a.attrelid, a.attnum)) as text
       from pg_attribute a join pg_class c on c.oid = a.attrelid
      where c.relkind in ('r', 'p', 'S') and a.attnum > 0 and not a.attisdropped and c.oid >= 16384
        and c.relnamespace::regnamespace::text not in ('pgconvoy', 'pg_toast', 'information_schema')
     union all
     select format('index %s', pg_get_indexdef(indexrelid)) from pg_index
      where indexrelid >= 16384 and pg_get_indexdef(indexrelid) !~ ' ON (pg_toast|pgconvoy)\\.'
     union all
     select format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid)) from pg_constraint
      where oid >= 16384 and contype <> 'n'
     union all
     select format('identity %s %s', c.oid::regclass, c.relreplident) from pg_class c
      where c.relkind = 'r' and c.oid >= 16384 and c.relnamespace::regnamespace::text not in ('pgconvoy', 'information_schema')
      order by 1`,
  );
  return rows.map(({ text }) => String(text)).filter((text) => !text.includes(' pgconvoy.'));
}

const filled = async (database: string, table: string) =>
  (
    await pair.query(
      'source',
      database,
      `select count(*)::int as rows, count(distinct __pgconvoy_id)::int as ids from ${table}`,
    )
  )[0];

const tables = () => `
  create table documents (body json);
  insert into documents select to_json(n) from generate_series(1, 2000) n;
  alter table documents owner to "owner ${pair.suffix}";
  grant insert on documents to "app ${pair.suffix}";
  create schema "My ""s""";
  create table "My ""s"""."Order Items, 100%" ("select" json, at timestamp default now());
  insert into "My ""s"""."Order Items, 100%" select to_json(n) from generate_series(1, 2000) n;
  create function touch() returns trigger language plpgsql as 'begin raise ''this is for the application''; end';
  create trigger touch before update on "My ""s"""."Order Items, 100%" for each row execute function touch();
  create table unique_index (a int not null unique, body json);
  create table deferred (a int primary key deferrable, body json);
  insert into deferred values (1), (2);
  create table told (body json);
  alter table told replica identity nothing;
  create table "left" (body json);
`;

test.each([
  ['rewrite', {}],
  ['batches', IN_BATCHES],
])('a key column comes and goes without a trace: %s', async (how, input) => {
  const database = await pair.database(`My "odd" ${how}`, tables());
  const before = await shape(database);
  const { output } = await proveContract(pair, setReplicaIdentity, database, { input });
  expect(output).toEqual({ tables: 6, usingIndex: 3, full: 0, surrogateKeys: 4, skipped: 1 });

  expect(await filled(database, 'documents')).toEqual({ rows: 2000, ids: 2000 });
  expect(await filled(database, '"My ""s"""."Order Items, 100%"')).toEqual({ rows: 2000, ids: 2000 });
  const constraints = (await shape(database)).filter((line) => line.startsWith('constraint'));
  expect(constraints).toEqual(
    [
      'constraint "My ""s"""."Order Items, 100%" PRIMARY KEY (__pgconvoy_id)',
      ...(how === 'rewrite' ? ['constraint deferred UNIQUE (__pgconvoy_id)'] : []),
      'constraint deferred PRIMARY KEY (a) DEFERRABLE',
      'constraint documents PRIMARY KEY (__pgconvoy_id)',
      'constraint told PRIMARY KEY (__pgconvoy_id)',
      'constraint unique_index UNIQUE (a)',
    ].toSorted(),
  );

  // Whoever may insert still may, though the numbers come from a sequence of the owner's.
  await pair.query(
    'source',
    database,
    `set role "app ${pair.suffix}"; insert into documents values ('{}'); insert into documents (body) values ('{}')`,
  );
  expect(await filled(database, 'documents')).toEqual({ rows: 2002, ids: 2002 });

  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await shape(database)).toEqual(before);
  expect(await pair.context(database).sourceLedger.entries(undefined, database)).toEqual([]);
});

test('it travels with the schema, and undo drops it on both sides', async () => {
  const database = await pair.database('carried', 'create table documents (body json); create table told (body json)');
  const before = await shape(database);
  await runOperation(setReplicaIdentity, pair.context(database));
  for (const operation of [createDatabase, copySchema]) await runOperation(operation, pair.context(database));
  expect(await shape(database, 'target')).toContain('constraint documents PRIMARY KEY (__pgconvoy_id)');
  expect((await copySchema.check(pair.context(database))).holds).toBe(true);

  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await shape(database)).toEqual(before);
  expect(await shape(database, 'target')).toEqual(before);
});

test('where the target has the schema already, the source gets no column that the target lacks', async () => {
  const database = await pair.database('too late', 'create table left_alone (a int primary key)');
  for (const operation of [createDatabase, copySchema]) await runOperation(operation, pair.context(database));
  await pair.query('source', database, 'create table documents (body json)');
  const before = await shape(database);
  await expect(runOperation(setReplicaIdentity, pair.context(database))).rejects.toMatchObject({
    disposition: 'give-up',
    message: expect.stringContaining('"public"."documents" would get a key column that the target does not have'),
    hint: expect.stringContaining('pgconvoy uninstall --drop-target-databases'),
  });
  expect(await shape(database)).toEqual(before);
});

const MANY = `create table documents (body json);
  insert into documents select json_build_object('n', n, 'text', repeat('x', 400)) from generate_series(1, 3000) n`;

test('killed in the middle it goes on where it was', async () => {
  const database = await pair.database('killed', MANY);
  const before = await shape(database);
  const options: ContextOptions = { input: IN_BATCHES };
  const { output } = await proveKilledAndRunAgain(
    pair,
    setReplicaIdentity,
    database,
    [20, 40, 60, 80, 120, 160],
    options,
  );
  expect(output).toMatchObject({ surrogateKeys: 1 });
  expect(await filled(database, 'documents')).toEqual({ rows: 3000, ids: 3000 });
  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await shape(database)).toEqual(before);
});

/** Runs it until it says that it fills rows, then ends it: the column is there, some rows have their number. */
async function halfDone(database: string): Promise<void> {
  const controller = new AbortController();
  let fills = 0;
  const context = pair.context(database, {
    input: IN_BATCHES,
    signal: controller.signal,
    onProgress: ({ note }) => {
      if (note?.startsWith('filling') && ++fills === 10) controller.abort(new Error('killed by the test'));
    },
  });
  await expect(runOperation(setReplicaIdentity, context)).rejects.toThrow('killed by the test');
  expect(fills).toBe(10);
}

async function session(database: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ ...pair.source, database, application_name: 'till' });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

test('half done it can be taken back', async () => {
  const database = await pair.database('half', MANY);
  const before = await shape(database);
  await halfDone(database);
  expect(await shape(database)).not.toEqual(before);
  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await shape(database)).toEqual(before);
});

test('whoever holds a lock is named and kept waiting by nobody; rows that were missed are filled in the end', async () => {
  const database = await pair.database('busy', MANY);
  const run = () => runOperation(setReplicaIdentity, pair.context(database, { input: IN_BATCHES }));
  await using till = await session(database);
  await using reader = await session(database);
  const pidOf = async (client: pg.Client) => String((await client.query('select pg_backend_pid() as pid')).rows[0].pid);
  const waits = (text: string) => ({ disposition: 'wait', message: expect.stringContaining(text) });

  // The column itself: one lock, briefly asked for.
  await till.query(`begin; insert into documents values ('{}')`);
  await expect(run()).rejects.toMatchObject(
    waits(`the key column of "public"."documents" waits for a lock: pid ${await pidOf(till)}`),
  );
  await till.query('commit');

  // Locked rows are left for later; the index waits for their transaction, in nobody's way.
  await halfDone(database);
  await till.query('begin; update documents set body = body');
  const attempt = run();
  await expect(attempt).rejects.toMatchObject(
    waits(`waits for transactions that began before it: pid ${await pidOf(till)}`),
  );
  await till.query('commit');

  // The last lock; meanwhile rows without a number come up, as when an application updates one that was not filled yet.
  await reader.query('begin; select count(*) from documents');
  await expect(run()).rejects.toMatchObject(waits(`pid ${await pidOf(reader)}`));
  await pair.query('source', database, 'update documents set __pgconvoy_id = null where __pgconvoy_id % 7 = 0');
  await reader.query('commit');

  expect((await run()).output).toMatchObject({ surrogateKeys: 1 });
  expect(await filled(database, 'documents')).toEqual({ rows: 3001, ids: 3001 });
  const checks = (await shape(database)).filter((line) => line.includes('CHECK'));
  expect(checks).toEqual([]);
});

test('tables that cannot have one are refused with the reason, after all others are done', async () => {
  const database = await pair.database(
    'refused',
    `create schema refused;
     set search_path = refused;
     create table parts (body json, at date) partition by range (at);
     create table part partition of parts for values from ('2020-01-01') to ('2021-01-01');
     create type document as (body json);
     create table typed of document;
     create table parent (body json);
     create table child () inherits (parent);
     create table taken (body json, __pgconvoy_id int);
     create table used_as_type (body json);
     create table uses (a int primary key, b used_as_type);`,
  );
  const failure: Error = await runOperation(setReplicaIdentity, pair.context(database)).then(
    () => expect.unreachable(),
    (error: Error) => error,
  );
  expect(failure.message).toContain('"refused"."part" (the configuration asks for a key column, but it is a partition');
  expect(failure.message).toContain(
    '"refused"."typed" (the configuration asks for a key column, but it is a typed table',
  );
  expect(failure.message).toContain(
    '"refused"."parent" (the configuration asks for a key column, but other tables inherit',
  );
  expect(failure.message).toContain(
    '"refused"."taken" (the configuration asks for a key column, but it has a column __pgconvoy_id',
  );
  const keys = (await shape(database)).filter((line) => line.includes('PRIMARY KEY (__pgconvoy_id)'));
  expect(keys).toEqual([
    'constraint refused.child PRIMARY KEY (__pgconvoy_id)',
    'constraint refused.used_as_type PRIMARY KEY (__pgconvoy_id)',
  ]);
  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect((await shape(database)).filter((line) => line.includes('__pgconvoy_id'))).toEqual([
    'column refused.taken.__pgconvoy_id integer f ',
  ]);
});

/** An application that updates and inserts all the time, until it is told to stop; then how many rows it has inserted. */
async function application(source: pg.ClientConfig, database: string): Promise<() => Promise<number>> {
  const client = new pg.Client({ ...source, database });
  await client.connect();
  const stopping = new AbortController();
  let inserted = 0;
  const work = async () => {
    for (let n = 1; !stopping.signal.aborted; n = (n * 7 + 1) % 3000) {
      await client.query('update documents set body = body where id = $1', [n]);
      await client.query("insert into documents (body) values ('{}')");
      inserted += 1;
    }
  };
  const working = work();
  return async () => {
    stopping.abort();
    await working.finally(() => client.end());
    return inserted;
  };
}

// Before 14 a range of ctid reads the whole table, and what is done instead must not be done again for each row that changes meanwhile.
test.each([15, 10] as const)('while an application writes: %s', async (major) => {
  await using own = await TestPair.open({
    source: major,
    settings: { fix: { tables: [{ table: 'public.documents', choice: 'surrogate-key' }] } },
  });
  const database = await own.database(
    'written',
    `create table documents (id int, body json);
     insert into documents select n, json_build_object('text', repeat('x', 400)) from generate_series(1, 3000) n;
     create index on documents (id)`,
  );
  const stop = await application(own.source, database);
  const input = setReplicaIdentity.input.parse({ ...IN_BATCHES, batchPages: 7 });
  let inserted = 0;
  const { output } = await runOperation(setReplicaIdentity, own.context(database, { input })).finally(async () => {
    inserted = await stop();
  });
  expect(output).toMatchObject({ surrogateKeys: 1 });
  const [row] = await own.query(
    'source',
    database,
    'select count(*)::int as rows, count(distinct __pgconvoy_id)::int as ids from documents',
  );
  expect(row).toEqual({ rows: 3000 + inserted, ids: 3000 + inserted });
  expect(await setReplicaIdentity.undo?.(own.context(database))).toBe(true);
});

test('pglogical, which cannot use the whole row: an index, a key column where it is asked for, else a person decides', async () => {
  const keys = ['public.told_full', 'public.documents'].map((table) => ({ table, choice: 'surrogate-key' }));
  await using other = await TestPair.open({ engine: 'pglogical', settings: { fix: { tables: keys } } });
  const database = await other.database(
    'pglogical',
    `create table documents (body json); insert into documents values ('1'), ('2');
     create table told_full (a int); alter table told_full replica identity full; insert into told_full values (1);
     create table unique_index (a int not null unique);
     create table undecided (a int)`,
  );
  await expect(runOperation(setReplicaIdentity, other.context(database))).rejects.toMatchObject({
    message: expect.stringContaining(
      '"public"."undecided" (there is no unique index on NOT NULL columns, and the engine pglogical',
    ),
    hint: expect.stringContaining('table: "public.undecided", choice: surrogate-key }'),
  });
  await other.query('source', database, 'alter table undecided add primary key (a)');
  const { output } = await runOperation(setReplicaIdentity, other.context(database));
  expect(output).toEqual({ tables: 4, usingIndex: 2, full: 0, surrogateKeys: 2, skipped: 0 });

  // What pglogical itself thinks of these tables.
  await runOperation(createReplicationRole, other.context(undefined));
  await runOperation(grantReplicationRole, other.context(database));
  expect((await runOperation(createPublication, other.context(database))).output).toEqual({ tables: 4 });
});
