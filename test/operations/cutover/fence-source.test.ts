import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { agreeToOpen } from '../../../src/operations/cutover/agreement.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { sourceDefinitions } from '../../../src/operations/databases/source-definition.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

interface FenceOutput {
  readonly fencedAt: string;
  readonly lsn: string;
  readonly ended: number;
  readonly superusers: readonly string[];
}

/** A session that keeps its errors to itself: the fence will end it. */
async function connect(pair: TestPair, database: string, user: string, application = 'shop'): Promise<pg.Client> {
  const superuser = user === 'postgres';
  const client = new pg.Client({
    ...pair.clusters.source.address,
    user,
    password: superuser ? pair.source.password : 'secret',
    database,
    application_name: application,
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

describe.each([10, 17] as const)('on PostgreSQL %i', (major) => {
  let pair: TestPair;
  let roles: { readonly owner: string; readonly app: string; readonly other: string };
  beforeAll(async () => {
    pair = await TestPair.open({ source: major, settings: { deadlines: { fence: '3s' } } });
    roles = { owner: pair.name('Owner "O"'), app: pair.name('app'), other: pair.name('other, one') };
    for (const role of Object.values(roles)) {
      await pair.query('source', 'postgres', `create role ${pg.escapeIdentifier(role)} login password 'secret'`);
    }
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  /** Owned by one role, used by others, with grants that have to come back as they were. */
  async function applicationDatabase(base: string): Promise<string> {
    const database = await schemaOnBothSides(pair, base, 'create table t (id int primary key, who text)');
    const [name, owner, app, other] = [database, roles.owner, roles.app, roles.other].map((each) =>
      pg.escapeIdentifier(each),
    );
    await pair.query(
      'source',
      database,
      `alter database ${name} owner to ${owner};
       grant insert, select on t to ${owner}, ${app}, ${other};
       revoke connect on database ${name} from public;
       grant connect on database ${name} to ${app} with grant option;
       set role ${app}; grant connect on database ${name} to ${other}; reset role;
       alter database ${name} set work_mem = '5MB'`,
    );
    await walkTo(pair, database, 'create-slot');
    return database;
  }

  const definition = (database: string) =>
    pair.query(
      'source',
      'postgres',
      `select (select array_agg(a::text order by a::text) from unnest(datacl) a) as acl,
              pg_get_userbyid(datdba) as owner, (select setconfig from pg_db_role_setting where setdatabase = d.oid and setrole = 0) as settings
         from pg_database d where datname = ${pg.escapeLiteral(database)}`,
    );

  test('keeps the contract, and undo puts everything back exactly', async () => {
    const database = await applicationDatabase('My "odd" DB, 100%');
    const before = await definition(database);
    const app = await connect(pair, database, roles.app);
    const output = (await proveContract(pair, fenceSource, database)).output as FenceOutput;
    expect(output).toMatchObject({ ended: 1, superusers: [], lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) });
    expect(await definition(database)).not.toEqual(before);
    expect(await fenceSource.undo!(pair.context(database))).toBe(true);
    expect(await definition(database)).toEqual(before);
    expect(await pair.context(database).sourceLedger.entries(undefined, database)).toEqual([]);
    await app.end().catch(() => {});
  });

  test('a database whose privileges nobody ever touched is open to all again afterwards', async () => {
    const database = await schemaOnBothSides(pair, 'plain', 'create table t (id int primary key)');
    await walkTo(pair, database, 'create-slot');
    await runOperation(fenceSource, pair.context(database));
    await expect(connect(pair, database, roles.app)).rejects.toThrow(/permission denied for database/);
    await fenceSource.undo!(pair.context(database));
    await (await connect(pair, database, roles.app)).end();
    const [row] = await pair.query(
      'source',
      'postgres',
      `select array(select a::text from unnest(datacl) a order by 1) = array(select a::text from unnest(acldefault('d', datdba)) a order by 1) as same
         from pg_database where datname = ${pg.escapeLiteral(database)}`,
    );
    expect(row).toEqual({ same: true });
  });

  test('a role that is dropped behind the fence keeps it from nobody else', async () => {
    const database = await applicationDatabase('dropped');
    const before = await definition(database);
    const role = pg.escapeIdentifier(pair.name('gone "tomorrow", = /x'));
    await pair.query(
      'source',
      'postgres',
      `create role ${role}; grant connect on database ${pg.escapeIdentifier(database)} to ${role}`,
    );
    await runOperation(fenceSource, pair.context(database));
    // Whoever has its name now is somebody else.
    await pair.query('source', 'postgres', `drop role ${role}; create role ${role}`);
    const notes: string[] = [];
    const onNote = (line: string) => notes.push(line);
    expect(await fenceSource.undo!(pair.context(database, { onNote }))).toBe(true);
    expect(await definition(database)).toEqual(before);
    expect(notes).toEqual([expect.stringContaining(`dropped behind the fence, so what was granted`)]);
    expect(notes[0]?.endsWith(`not given back: ${role}`)).toBe(true);
  });

  test('roles that are renamed behind the fence keep what they had', async () => {
    const database = await applicationDatabase('renamed');
    const before = await definition(database);
    await runOperation(fenceSource, pair.context(database));
    // Two have swapped their names, and the owner has a new one.
    const owner = pair.name('new "owner", = /x');
    const [one, other, third, old, now] = [roles.app, roles.other, 'third', roles.owner, owner].map((each) =>
      pg.escapeIdentifier(each),
    );
    const swap = `alter role ${one} rename to ${third}; alter role ${other} rename to ${one}; alter role ${third} rename to ${other}`;
    await pair.query('source', 'postgres', `${swap}; alter role ${old} rename to ${now}`);
    const { sourceCluster, sourceLedger } = pair.context(database);
    const seen = await sourceDefinitions({ sourceCluster, sourceLedger }, [database]);
    expect(seen.get(database)?.owner).toBe(owner);
    expect(await fenceSource.undo!(pair.context(database))).toBe(true);
    await pair.query('source', 'postgres', `${swap}; alter role ${now} rename to ${old}`);
    expect(await definition(database)).toEqual(before);
  });

  test('killed in the middle, it converges', async () => {
    const database = await applicationDatabase('killed');
    const before = await definition(database);
    await proveKilledAndRunAgain(pair, fenceSource, database, [1, 3, 6, 10, 15]);
    await fenceSource.undo!(pair.context(database));
    expect(await definition(database)).toEqual(before);
  });
});

describe('on PostgreSQL 15', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ settings: { deadlines: { fence: '700ms' } } });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  async function readyDatabase(base: string): Promise<string> {
    const database = await schemaOnBothSides(pair, base, 'create table t (id int primary key)');
    await walkTo(pair, database, 'create-slot');
    return database;
  }

  test('sessions of superusers are ended too, and named', async () => {
    const database = await readyDatabase('superusers');
    const admin = await connect(pair, database, 'postgres', 'psql of the admin');
    const { output } = await runOperation(fenceSource, pair.context(database));
    expect(output).toMatchObject({ ended: 1, superusers: ['"postgres" (psql of the admin, 127.0.0.1)'] });
    await expect(admin.query('select 1')).rejects.toThrow(/terminat|connection/i);
    // Who comes back may look, but does not write by mistake.
    const again = await connect(pair, database, 'postgres');
    await expect(again.query('insert into t values (1)')).rejects.toThrow(/read-only transaction/);
    await again.end();
  });

  test('who cannot be got rid of is named, and the database takes writes again', async () => {
    const database = await readyDatabase('stubborn');
    const session = await connect(pair, database, 'postgres', 'stubborn monitor');
    const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
    const pid = rows[0]!.pid;
    // A process that is stopped does not hear that it shall end, like one that hangs in a system call.
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(runOperation(fenceSource, pair.context(database))).rejects.toMatchObject({
        name: 'DeadlineExceeded',
        message: expect.stringContaining(`pid ${pid} of superuser "postgres" (stubborn monitor`),
      });
    } finally {
      process.kill(pid, 'SIGCONT');
      await session.end().catch(() => {});
    }
    expect(await pair.context(database).sourceLedger.entries(undefined, database)).toEqual([]);
    await pair.query('source', database, 'insert into t values (1)');
    expect((await runOperation(fenceSource, pair.context(database))).changed).toBe(true);
  });

  test('a database that receives rows from elsewhere is refused before anything is touched', async () => {
    const database = await readyDatabase('subscriber');
    await pair.query(
      'source',
      database,
      `create subscription foreign_one connection 'dbname=nowhere' publication p with (connect = false);
       alter subscription foreign_one set (slot_name = none)`,
    );
    await pair.query(
      'source',
      database,
      `update pg_subscription set subenabled = true, subslotname = 'none_such' where subname = 'foreign_one'`,
    );
    try {
      await expect(runOperation(fenceSource, pair.context(database))).rejects.toMatchObject({
        message: expect.stringContaining('foreign_one'),
        hint: expect.stringContaining('ALTER SUBSCRIPTION "foreign_one" DISABLE'),
      });
      expect(await pair.context(database).sourceLedger.entries(undefined, database)).toEqual([]);
    } finally {
      await pair.query('source', database, 'alter subscription foreign_one disable');
    }
  });

  test('a database that is open on the target keeps its fence, unless the source shall be opened', async () => {
    const database = await readyDatabase('opened');
    await runOperation(fenceSource, pair.context(database));
    const opened = { fencedAt: '2026-01-01', openedAt: '2026-01-01', lsn: '0/1', outageMs: 1 };
    await pair.context(database).sourceLedger.record(openedKey(database), opened);
    expect(await fenceSource.undo!(pair.context(database))).toBe(false);
    expect((await fenceSource.check(pair.context(database))).holds).toBe(true);
    expect(await fenceSource.undo!(pair.context(database, { options: { openSource: true } }))).toBe(true);
    expect((await fenceSource.check(pair.context(database))).holds).toBe(false);
  });

  test('without a slot no outage is begun', async () => {
    const database = await pair.database('no slot');
    await expect(runOperation(fenceSource, pair.context(database))).rejects.toThrow(/replication slot .* is not there/);
    expect(await pair.context(database).sourceLedger.entries(undefined, database)).toEqual([]);
  });
});

test('a prepared transaction is named, and no outage is begun; what is decided survives a crash', async () => {
  await using source = await startCluster({
    major: 15,
    name: 'preparing',
    // It says that something is committed long before it is on its disk.
    settings: { max_prepared_transactions: 2, synchronous_commit: 'off', wal_writer_delay: '10s' },
  });
  await using pair = await TestPair.open({ source });
  const database = await schemaOnBothSides(pair, 'prepared', 'create table t (id int primary key)');
  await walkTo(pair, database, 'create-slot');
  await pair.query('source', database, 'begin; insert into t values (1)');
  await pair.query('source', database, `begin; insert into t values (2); prepare transaction 'it''s odd'`);
  await expect(runOperation(fenceSource, pair.context(database))).rejects.toMatchObject({
    message: expect.stringContaining(`"it's odd"`),
    hint: expect.stringContaining(`COMMIT PREPARED 'it''s odd'`),
    disposition: 'wait',
  });
  await pair.query('source', database, `commit prepared 'it''s odd'`);
  expect((await runOperation(fenceSource, pair.context(database))).changed).toBe(true);
  await agreeToOpen(pair.context(database), [database]);
  await source.kill();
  await source.start();
  expect(await pair.context(database).sourceLedger.find(openedKey(database))).toBeDefined();
  expect(await fenceSource.undo!(pair.context(database))).toBe(false);
});
