import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../src/engine/run-operation.ts';
import { createLogger } from '../../src/log.ts';
import { holdSnapshots, snapshotNote } from '../../src/operations/comparison/snapshots.ts';
import { agreeToOpen } from '../../src/operations/cutover/agree-to-open.ts';
import { agreeToOpen as agree } from '../../src/operations/cutover/agreement.ts';
import { awaitLsn } from '../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../src/operations/cutover/fence-source.ts';
import { giveBack } from '../../src/operations/cutover/give-back.ts';
import { openTarget } from '../../src/operations/cutover/open-target.ts';
import { raiseFences } from '../../src/operations/cutover/raise-fence.ts';
import { createDeferredTriggers } from '../../src/operations/schema/create-deferred-triggers.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import { Ledger } from '../../src/postgres/ledger.ts';
import { startKeeper } from '../../src/runtime/keeper.ts';
import { keeperLooks } from '../helpers/keeper.ts';
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

const look = () => keeperLooks(pair.clusters);
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

test('a target that has vanished holds nobody up, and those who work on what is given back are told', async () => {
  // It takes connections, and never says a word.
  const callers: Socket[] = [];
  const hole = createServer((caller) => callers.push(caller.resume().on('error', () => {}))).listen(0, '127.0.0.1');
  await once(hole, 'listening');
  const { port } = hole.address() as AddressInfo;
  const address = { ...pair.clusters.target.address, port, connectTimeoutMs: 20_000 };
  const clusters = { ...pair.clusters, target: new Cluster('target', address, 'postgres') };
  for (const database of [one, other]) await fence(database, { together: true });
  const told: (readonly string[])[] = [];
  const ending = new AbortController();
  const reached = once(hole, 'connection');
  const keeper = startKeeper({
    clusters,
    isCuttingOver: () => Promise.resolve(false),
    mayBeFenced: () => Promise.resolve(false),
    onGivenBack: (databases) => void told.push(databases.map(({ database }) => database)),
    log: createLogger('silent'),
    signal: ending.signal,
  });
  try {
    // It looks at the target, and will for long, when they become late.
    await reached;
    await eventually(() => expect(told).not.toEqual([]), { timeoutMs: 15_000 });
    const { sourceLedger } = pair.context(one);
    const fences = await sourceLedger.entriesOn([one, other], ['fence']);
    const late = fences.map(
      ({ database, before }) => [database, { ...Object(before), deadline: new Date(0) }] as const,
    );
    await sourceLedger.replaceAll('fence', new Map(late));
    await eventually(() => expect(told.at(-1)).toEqual(expect.arrayContaining([one, other])), { timeoutMs: 15_000 });
    expect(callers[0]?.destroyed).toBe(false);
    expect([await isFenced(one), await isFenced(other)]).toEqual([false, false]);

    // Where fences cannot be raised without it, those that were are not given back one after the other's timeout.
    const away = clusters.target.bind({ applicationName: 'pgconvoy/test', signal: ending.signal });
    const contexts = [one, other].map((database) => ({
      ...pair.context(database, { options: { together: true } }),
      target: away.database(database),
      targetCluster: away,
      targetLedger: new Ledger(away),
    }));
    let raisedSoFar = false;
    const vanishes = () => {
      raisedSoFar = true;
      return Promise.reject(new Error('it has vanished'));
    };
    const raised = raiseFences(contexts, vanishes).catch((error: unknown) => error);
    await eventually(() => expect(raisedSoFar).toBe(true));
    await eventually(async () => {
      for (const database of [one, other]) expect(await notes(database)).not.toContain('fence');
    });
    for (const caller of callers) caller.destroy();
    expect(await raised).toMatchObject({ message: 'it has vanished' });
    await away.close();
  } finally {
    ending.abort();
    hole.close();
    for (const caller of callers) caller.destroy();
    await keeper.ended;
  }

  // Of its databases it has nothing to tell, so nobody waits until it is clear that it does not answer.
  await fence(one, {});
  expect(await giveBack(pair.context(one), 'it is late', () => new Promise(() => {}))).toBe(true);
  expect(await isFenced(one)).toBe(false);
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
  // Only where something is to be asked of the target it is waited for.
  await fence(database, {});
  expect((await runOperation(createDeferredTriggers, pair.context(database))).changed).toBe(true);
  let answer: ((answers: boolean) => void) | undefined;
  const giving = giveBack(pair.context(database), 'it is late', () => new Promise((resolve) => (answer = resolve)));
  await eventually(() => expect(answer).toBeDefined());
  expect(await isFenced(database)).toBe(true);
  answer?.(true);
  expect(await giving).toBe(true);
  expect((await createDeferredTriggers.check(pair.context(database))).holds).toBe(false);

  await fence(database, { outage: 300 });
  expect((await runOperation(createDeferredTriggers, pair.context(database))).changed).toBe(true);
  await holdSnapshots(pair.context(database), null);
  await sleep(320);
  await look();
  expect(await isFenced(database)).toBe(false);
  expect(await snapshotNote(pair.context(database))).toBeUndefined();
  await pair.query('source', database, 'insert into entry values (7)');
  await eventually(async () => {
    expect(await pair.query('target', database, 'select id from entry')).toEqual([{ id: 7 }]);
  });
  expect(await pair.query('target', database, 'select entry from log')).toEqual([{ entry: 7 }]);
});
