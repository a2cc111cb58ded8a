import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../src/engine/run-operation.ts';
import { createLogger } from '../../src/log.ts';
import { agreeToOpen } from '../../src/operations/cutover/agree-to-open.ts';
import { agreeToOpen as agree } from '../../src/operations/cutover/agreement.ts';
import { awaitLsn } from '../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../src/operations/cutover/fence-source.ts';
import { giveBack } from '../../src/operations/cutover/give-back.ts';
import { openTarget } from '../../src/operations/cutover/open-target.ts';
import { raiseFences } from '../../src/operations/cutover/raise-fence.ts';
import { createDeferredTriggers } from '../../src/operations/schema/create-deferred-triggers.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import { lookAfter } from '../../src/runtime/keeper.ts';
import { giveBackAll, readOutages } from '../../src/runtime/outages.ts';
import { TestPair } from '../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../helpers/streaming.ts';
import { eventually } from '../helpers/wait.ts';

let pair: TestPair;
let one: string;
let other: string;
beforeAll(async () => {
  pair = await TestPair.open();
  one = await schemaOnBothSides(pair, 'My "odd" DB', 'create table t (id int primary key)');
  other = await schemaOnBothSides(pair, 'other, 100%', 'create table t (id int primary key)');
  for (const database of [one, other]) await walkTo(pair, database, 'await-catch-up');
});
afterAll(() => pair[Symbol.asyncDispose]());

const look = () => lookAfter(pair.clusters, createLogger('silent'), new AbortController().signal);
const fence = async (database: string, options: Record<string, boolean | number>) => {
  // As if somebody had asked for it again.
  await pair.context(database).sourceLedger.forget({ kind: 'given-back', database });
  await runOperation(fenceSource, pair.context(database, { options }));
  await runOperation(awaitLsn, pair.context(database, { options }));
};
const isFenced = async (database: string) => (await fenceSource.check(pair.context(database))).holds;
const notes = async (database: string) =>
  (await pair.context(database).sourceLedger.entries(undefined, database)).map(({ kind }) => kind);

test('past its deadline a database is given back, and cannot be opened any more', async () => {
  await fence(one, { outage: 60_000 });
  expect(await look()).toBe(true);
  expect(await isFenced(one)).toBe(true);
  await fenceSource.undo!(pair.context(one));
  expect(await look()).toBe(false);

  await fence(one, { outage: 300 });
  await sleep(320);
  await expect(agree(pair.context(one), [one])).rejects.toMatchObject({
    name: 'DeadlineExceeded',
    message: expect.stringContaining(one),
    hint: expect.stringContaining('pgconvoy stop'),
  });
  await look();
  expect(await isFenced(one)).toBe(false);
  expect(await notes(one)).not.toContain('fence');
  await expect(runOperation(openTarget, pair.context(one))).rejects.toThrow(/the fence does not stand/);
  expect(await look()).toBe(false);
});

test('of databases that open together one that is late gives back all; those that do not stay as they are', async () => {
  await fence(one, { outage: 200, together: true });
  await fence(other, { outage: 60_000, together: true });
  await sleep(220);
  await expect(runOperation(agreeToOpen, pair.context(undefined))).rejects.toThrow(/deadline of the write outage/);
  expect(await notes(other)).not.toContain('opened');
  await look();
  expect([await isFenced(one), await isFenced(other)]).toEqual([false, false]);

  await fence(one, { outage: 200 });
  await fence(other, { outage: 60_000 });
  await sleep(220);
  await look();
  expect([await isFenced(one), await isFenced(other)]).toEqual([false, true]);
  await fenceSource.undo!(pair.context(other));
});

test('a fence that is given back while it is being raised stays down, and so do those that are raised with it', async () => {
  const privileges = () =>
    pair.query(
      'source',
      'postgres',
      `select datname, pg_get_userbyid(datdba) as owner, coalesce(datacl, acldefault('d', datdba))::text as acl
         from pg_database where datname like '%${pair.suffix}' order by 1`,
    );
  const before = await privileges();
  const open = async () => {
    expect(await privileges()).toEqual(before);
    for (const database of [one, other]) {
      expect(await notes(database)).not.toEqual(expect.arrayContaining([expect.stringMatching(/^fence/)]));
      await pair.query('source', database, 'insert into t select coalesce(max(id), 0) + 1 from t');
    }
  };
  const contexts = [one, other].map((database) => pair.context(database, { options: { together: true } }));
  const raised = raiseFences(contexts, async () => void (await giveBack(pair.context(one), 'it is late')));
  await expect(raised).rejects.toThrow(`"${one}": given back while the fence was being raised`);
  await open();

  // One that cannot be given back whole keeps no other one waiting.
  const { sourceLedger } = pair.context(one);
  const makers = { kind: 'fence-large-objects', database: one };
  await sourceLedger.record(makers, { signatures: ['function nobody_has_made_this(oid)'] });
  await expect(raiseFences(contexts, () => Promise.reject(new Error('drift')))).rejects.toThrow(/does not exist/);
  await sourceLedger.forget(makers);
  await open();
});

test('another run that has taken a fence over is the only one that can open', async () => {
  await fence(one, {});
  const context = pair.context(one);
  const later = { ...context, run: { ...context.run, id: 'stop-0101-0000-new' } };
  expect((await runOperation(fenceSource, later)).changed).toBe(true);
  await expect(agree(context, [one])).rejects.toThrow(/another run's/);
  await fenceSource.undo!(context);
});

test('opening and taking the fence down at the same moment: one of the two, never both, never none', async () => {
  for (let round = 0; round < 12; round++) {
    await fence(one, {});
    const [agreed, lowered] = await Promise.allSettled([
      sleep(round % 4).then(() => agree(pair.context(one), [one])),
      sleep(3 - (round % 4)).then(() => fenceSource.undo!(pair.context(one))),
    ]);
    const decided = agreed.status === 'fulfilled';
    expect(lowered).toEqual({ status: 'fulfilled', value: !decided });
    expect((await notes(one)).includes('opened')).toBe(decided);
    expect((await notes(one)).includes('fence')).toBe(decided);
    await pair.context(one).sourceLedger.forget({ kind: 'opened', database: one });
    await fenceSource.undo!(pair.context(one));
  }
});

test('a target that has vanished holds nobody up', async () => {
  // It takes connections, and never says a word.
  const hole = createServer(() => {}).listen(0, '127.0.0.1');
  await once(hole, 'listening');
  const { port } = hole.address() as AddressInfo;
  const address = { ...pair.clusters.target.address, port, connectTimeoutMs: 20_000 };
  const clusters = { ...pair.clusters, target: new Cluster('target', address, 'postgres') };
  const signal = AbortSignal.timeout(15_000);
  try {
    for (const database of [one, other]) await fence(database, { together: true });
    const { outages } = await readOutages(clusters, 'source', signal);
    const request = { clusters, side: 'source', why: () => 'it is late', log: createLogger('silent'), signal } as const;
    expect((await giveBackAll(request, outages)).given.map(({ database }) => database)).toEqual(
      expect.arrayContaining([one, other]),
    );
    expect(signal.aborted).toBe(false);
    expect([await isFenced(one), await isFenced(other)]).toEqual([false, false]);
  } finally {
    hole.close();
  }
});

test('what is decided stays fenced on the source, however late; all of them are opened', async () => {
  const options = { outage: 3_000, together: true };
  await fence(one, options);
  await fence(other, options);
  const { output } = await runOperation(agreeToOpen, pair.context(undefined));
  expect(output).toEqual({ databases: 2 });
  await sleep(3_050);
  expect(await look()).toBe(false);
  for (const database of [one, other]) {
    expect(await fenceSource.undo!(pair.context(database))).toBe(false);
    const { output: opened } = await runOperation(openTarget, pair.context(database));
    expect(opened).toMatchObject({ outageMs: expect.any(Number) });
  }
});

test('what is given back goes on replicating, and triggers that fire during replication do nothing twice', async () => {
  const parts = `create table entry (id int primary key); create table log (id int primary key generated always as identity, entry int);
    create function note() returns trigger language plpgsql as 'begin insert into public.log (entry) values (new.id); return new; end'`;
  const database = await schemaOnBothSides(pair, 'always', parts);
  await pair.query(
    'source',
    database,
    `create trigger always after insert on entry for each row execute function note();
     alter table entry enable always trigger always`,
  );
  await walkTo(pair, database, 'await-catch-up');
  await fence(database, { outage: 300 });
  expect((await runOperation(createDeferredTriggers, pair.context(database))).changed).toBe(true);
  await sleep(320);
  await look();
  expect(await isFenced(database)).toBe(false);
  await pair.query('source', database, 'insert into entry values (7)');
  await eventually(async () => {
    expect(await pair.query('target', database, 'select id from entry')).toEqual([{ id: 7 }]);
  });
  expect(await pair.query('target', database, 'select entry from log')).toEqual([{ entry: 7 }]);
});
