import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Progress } from '../../../src/engine/operation.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { slotName } from '../../../src/replication/names.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { startCluster } from '../../helpers/servers.ts';

describe.each([10, 15] as const)('on PostgreSQL %i', (major) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source: major, settings: { deadlines: { slot: '2s' } } });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('the slot is made, found again and dropped', async () => {
    const database = await pair.database('My "odd" DB');
    const { output } = await proveContract(pair, createSlot, database);
    expect(output).toEqual({ slot: slotName(database) });
    const rows = await pair.query(
      'source',
      'postgres',
      `select plugin::text, database::text from pg_replication_slots where slot_name = '${slotName(database)}'`,
    );
    expect(rows).toEqual([{ plugin: 'pgoutput', database }]);
  });

  test('a write transaction in another database holds it up, and is named', async () => {
    const database = await pair.database('waiting');
    const other = await pair.database('other "one"', 'create table t ()');
    const writer = new pg.Client({ ...pair.clusters.source.address, database: other, application_name: 'nightly job' });
    await writer.connect();
    const notes: Progress[] = [];
    try {
      await writer.query('begin; insert into t default values');
      await expect(
        runOperation(createSlot, pair.context(database, { onProgress: (progress) => notes.push(progress) })),
      ).rejects.toMatchObject({
        message: expect.stringMatching(/pid \d+ \(user "postgres" in database "other "one" .*nightly job/),
        hint: expect.stringMatching(/pg_terminate_backend\(\d+\)/),
        disposition: 'wait',
      });
    } finally {
      await writer.end();
    }
    expect(notes.at(-1)?.note).toMatch(/waiting for pid \d+/);
    expect((await runOperation(createSlot, pair.context(database))).changed).toBe(true);
  });

  test('killed in the middle, it converges, even when the killed session is still at it', async () => {
    const database = await pair.database('killed', 'create table t ()');
    const writer = new pg.Client({ ...pair.clusters.source.address, database });
    await writer.connect();
    await writer.query('begin; insert into t default values');
    // What a worker leaves behind that was killed with -9: a session that goes on creating the slot.
    const orphan = new pg.Client({ ...pair.clusters.source.address, database });
    orphan.on('error', () => {});
    await orphan.connect();
    const abandoned = orphan
      .query(`select pg_create_logical_replication_slot('${slotName(database)}', 'pgoutput')`)
      .catch(() => {});
    setTimeout(() => void writer.end(), 500);
    await proveKilledAndRunAgain(pair, createSlot, database, [5, 30, 100]);
    await abandoned;
    await orphan.end().catch(() => {});
  });
});

test('the way back waits for who writes on the new cluster: who, since when and what ends it is told, until the limit', async () => {
  await using pair = await TestPair.open({ settings: { deadlines: { slot: '2s' } } });
  const database = await pair.database('way back', 'create table t ()', ['source', 'target']);
  await pair.query('target', database, `alter database "${database}" connection limit 0`);
  const writer = new pg.Client({ ...pair.clusters.target.address, database, application_name: 'nightly job' });
  await writer.connect();
  const { rows } = await writer
    .query('begin; select pg_backend_pid() as pid; insert into t default values')
    .then((results: unknown) => (results as pg.QueryResult<{ pid: number }>[])[1]!);
  const { pid } = rows[0]!;
  const seen: Progress[] = [];
  const lines: string[] = [];
  const options = {
    reversed: true,
    input: { wayBack: true },
    onProgress: (progress: Progress) => seen.push(progress),
    onNote: (line: string) => lines.push(line),
  };
  const who = `pid ${pid} (user "postgres" in database "${database}", nightly job, since `;
  try {
    const error: unknown = await runOperation(createSlot, pair.context(database, options)).catch((thrown) => thrown);
    expect(error).toMatchObject({
      name: 'DeadlineExceeded',
      message: expect.stringContaining(
        `target, database "${database}": the replication slot could not be created within 2000 ms`,
      ),
      hint: expect.stringContaining(`on the target: SELECT pg_terminate_backend(${pid});`),
    });
    expect(error).toMatchObject({ message: expect.stringContaining(who) });
  } finally {
    await writer.end();
  }
  // Others may be at it too, for longer: of all the oldest is told.
  expect(seen.find(({ heldUp }) => heldUp !== undefined)).toMatchObject({
    note: expect.stringMatching(/^waiting for pid \d+ \(user ".*" in database ".*since \d+ s\)$/),
    heldUp: expect.stringMatching(
      /^Every new slot waits for a write transaction, pid (\d+) of user ".*" in database ".*"\. Let it end, or on the target: SELECT pg_terminate_backend\(\1\);$/,
    ),
  });
  expect(lines[0]).toMatch(/^waits for pid \d+ .*, at most 2000 ms \(deadlines\.slot\)\. Every new slot waits/);
});

test('a slot that lost its WAL is made anew, and the database copied anew', async () => {
  await using source = await startCluster({
    major: 13,
    name: 'short-of-wal',
    settings: { max_slot_wal_keep_size: '1MB', wal_keep_size: 0, min_wal_size: '32MB', max_wal_size: '32MB' },
  });
  await using pair = await TestPair.open({ source });
  const database = await schemaOnBothSides(
    pair,
    'shop',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(pair, database, 'create-subscription');
  for (let round = 0; round < 4; round++) {
    await pair.query(
      'source',
      database,
      'create table filler as select repeat(md5(n::text), 30) from generate_series(1, 30000) n',
    );
    await pair.query('source', database, 'drop table filler; select pg_switch_wal()');
    await pair.query('source', database, 'checkpoint');
  }
  const [slot] = await pair.query('source', database, 'select wal_status from pg_replication_slots');
  expect(slot).toEqual({ wal_status: 'lost' });
  await walkTo(pair, database, 'copy-tables');
  expect(await pair.query('target', database, 'select id from t')).toEqual([{ id: 1 }]);
});
