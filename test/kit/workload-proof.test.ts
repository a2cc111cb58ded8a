/** A proof that cannot fail proves nothing: each way of losing, doubling or changing something is tried on it. */
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster } from '../helpers/servers.ts';
import type { Cluster } from '../helpers/servers.ts';
import { copyDifferences, pictureCatalog, pictureDifferences, remainsOf } from '../helpers/workload/catalog.ts';
import { createWorkload } from '../helpers/workload/create.ts';
import { workloadDatabases } from '../helpers/workload/databases/index.ts';
import type { Change, JournalRecord } from '../helpers/workload/journal.ts';
import { proveDatabases } from '../helpers/workload/proof.ts';
import { query } from '../helpers/workload/session.ts';

const databases = workloadDatabases(18).filter(({ name }) => name === 'testdb' || name === 'crm');
let source: Cluster;
let target: Cluster;
let journal: JournalRecord[];

const owners = { testdb: 'harbour_app', crm: 'harbour_owner' } as const;

const write = (database: string, side: 'source' | 'target', ...changes: readonly Change[]): JournalRecord => ({
  type: 'write',
  database,
  side,
  outcome: 'acknowledged',
  startedAt: 1,
  at: 2,
  changes,
});

beforeAll(async () => {
  [source, target] = await Promise.all([startCluster({ major: 18 }), startCluster({ major: 18 })]);
  await createWorkload(source, databases);
  await query(
    source,
    'testdb',
    `insert into animal (name, weight) values ('row-1', 1); update animal set weight = 1 where name = 'seed-7';
     delete from fish where name = 'seed-3'`,
  );
  await query(source, 'crm', `insert into contact (name, version) values ('row-1', 1)`);
  // A copy without pgconvoy: everything as it is, values of sequences too.
  const dump = await execa(
    `${source.bin}/pg_dumpall`,
    ['-h', source.host, '-p', String(source.port), '-U', 'postgres'],
    {
      env: { PGPASSWORD: source.password },
    },
  );
  await execa(
    `${target.bin}/psql`,
    ['-q', '-h', target.host, '-p', String(target.port), '-U', 'postgres', 'postgres'],
    {
      env: { PGPASSWORD: target.password },
      input: dump.stdout.replaceAll(/^(CREATE|ALTER) ROLE postgres.*$/gm, ''),
    },
  );
  await query(target, 'testdb', `update animal set weight = 2 where name = 'seed-7'`);
  journal = [
    write('testdb', 'source', { table: 0, kind: 'insert', token: 'row-1', version: 1 }),
    write('testdb', 'source', { table: 0, kind: 'update', token: 'seed-7', version: 1 }),
    write('testdb', 'source', { table: 1, kind: 'delete', token: 'seed-3', version: 0 }),
    write('testdb', 'target', { table: 0, kind: 'update', token: 'seed-7', version: 2 }),
    write('crm', 'source', { table: 0, kind: 'insert', token: 'row-1', version: 1 }),
  ];
});
afterAll(() => Promise.all([source.stop(), target.stop()]));

async function problems(records = journal): Promise<string[]> {
  const proofs = await proveDatabases({ source, target, databases, journal: records });
  return proofs.flatMap((proof) => proof.problems.map(({ text }) => text));
}

test('a right copy is found right', async () => {
  expect(await problems()).toEqual([]);
});

test.for([
  ['a lost write', 'testdb', `delete from animal where name = 'row-1'`, 'row "row-1" is lost'],
  ['a lost update', 'testdb', `update animal set weight = 1 where name = 'seed-7'`, 'an update is lost'],
  ['a row that was deleted', 'testdb', `insert into fish values ('seed-3', 0)`, 'although it was deleted'],
  ['a doubled row', 'testdb', `insert into animal (name, weight) values ('row-1', 1)`, '(doubled)'],
  [
    'a row nobody wrote to',
    'testdb',
    `delete from animal where name = 'seed-1999'`,
    'animal" has 2000 rows on the source and 1999',
  ],
  [
    'another value in it',
    'testdb',
    `update animal set weight = 9 where name = 'seed-1999'`,
    'animal" has 2000 rows on both sides, but not',
  ],
  [
    'a trigger that fired twice',
    'crm',
    `insert into always_history values ('row-1', 1, 'insert')`,
    'insert row-1 version 1 is noted 2 times',
  ],
  ['a sequence that begins again', 'testdb', `select setval('animal_id_seq', 5)`, 'the target gives 6 next'],
  ['a missing table', 'crm', 'drop table never_history', '"public"."never_history" is not on the target'],
] as const)('found: %s', async ([, database, change, told]) => {
  await query(target, 'postgres', `create database keep template ${database} owner ${owners[database]}`);
  try {
    await query(target, database, change);
    expect((await problems()).join('\n')).toContain(told);
  } finally {
    await query(target, 'postgres', `drop database ${database}`);
    await query(target, 'postgres', `alter database keep rename to ${database}`);
  }
});

test('of a write without an answer both outcomes are right, of the same on both sides', async () => {
  const unknown: JournalRecord = {
    ...(write('testdb', 'source', { table: 0, kind: 'insert', token: 'row-2', version: 1 }) as JournalRecord & {
      type: 'write';
    }),
    outcome: 'unknown',
  };
  expect(await problems([...journal, unknown])).toEqual([]);
  await query(target, 'testdb', `insert into animal (name, weight) values ('row-2', 1)`);
  expect((await problems([...journal, unknown])).join('\n')).toContain('animal" has 2000 rows on the source and 2001');
  await query(target, 'testdb', `delete from animal where name = 'row-2'`);
});

test('what is left behind is seen', async () => {
  const before = await pictureCatalog(target);
  expect(await remainsOf(target, before)).toEqual([]);
  await query(
    target,
    'testdb',
    `create publication pgconvoy; alter table fish replica identity full; alter database testdb connection limit 0;
     alter role harbour_app set work_mem = '1MB'`,
  );
  await query(target, 'postgres', 'alter system set max_sync_workers_per_subscription = 3');
  const after = await pictureCatalog(target);
  expect(await remainsOf(target, after)).toEqual(['"testdb": publication pgconvoy']);
  const told = pictureDifferences(before, after).filter((line) => /^(".*" )?\+/.test(line));
  expect(told).toEqual([
    expect.stringContaining('+ database testdb owner harbour_app UTF8 C C template f connections t limit 0'),
    '+ setting of database (all) role harbour_app work_mem=1MB',
    '+ file postgresql.auto.conf max_sync_workers_per_subscription 3',
    '"testdb" + publication pgconvoy',
    expect.stringContaining('relation public fish'),
  ]);
  // Of a copy everything is compared but what belongs to the server alone.
  const ofCopy = copyDifferences(before, after, ['testdb']).filter((line) => /^(".*" )?\+/.test(line));
  expect(ofCopy).toEqual(told.filter((line) => !line.startsWith('+ file ')));
});
