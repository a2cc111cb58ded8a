import { expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { AnyOperation } from '../../../src/engine/operation.ts';
import { agreeToOpen } from '../../../src/operations/cutover/agreement.ts';
import { closeTarget } from '../../../src/operations/databases/closed-database.ts';
import { noteBaseline } from '../../../src/operations/drift/baseline.ts';
import { pairOf } from '../../../src/operations/replication/pair.ts';
import * as op from '../../../src/operations/index.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import type { EngineName } from '../../../src/replication/engine.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import type { ContextOptions } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

const WAY_BACK = { reversed: true, input: { wayBack: true } } as const;

test.for<EngineName>(['native', 'pglogical'])('databases that open together (%s)', async (engine) => {
  await using pair = await TestPair.open({ engine, settings: { cutover: { reverse: true } } });
  const databases: string[] = [];
  for (const base of ['My "odd" DB', 'other, 100%'])
    databases.push(await schemaOnBothSides(pair, base, 'create table t (id int primary key)'));
  const together: ContextOptions = { databases, options: { together: true } };
  const each = async (operation: AnyOperation, options: ContextOptions = {}) => {
    for (const database of databases)
      await runOperation(operation, pair.context(database, { ...together, ...options }));
  };
  for (const database of databases) {
    // As setup makes them.
    await closeTarget(pair.context(database));
    await walkTo(pair, database, 'await-catch-up');
  }
  await runOperation(op.createReplicationRole, pair.context(undefined, { reversed: true }));
  await each(op.grantReplicationRole, { reversed: true });
  await each(op.createPublication, { reversed: true });
  await each(op.createSlot, WAY_BACK);
  await each(op.createSubscription, WAY_BACK);

  const limitOf = (database: string) =>
    pair.query(
      'target',
      'postgres',
      `select datconnlimit as "limit" from pg_database where datname = ${lit(database).text}`,
    );
  const positions = async (database: string) =>
    (await pair.context(database).targetLedger.entries('way-back', database)).map(({ before }) => ({
      lsn: (before as { readonly lsn: string }).lsn,
    }));
  const back: ContextOptions = { ...together, reversed: true };
  await expect(runOperation(op.switchReverseTogether, pair.context(undefined, back))).rejects.toThrow(
    /the fence does not stand, so rows may still come from there/,
  );
  for (const database of databases) await pair.query('source', database, 'insert into t values (1)');

  // One that is not what it was keeps all of them from being fenced.
  const fence = () => pair.context(undefined, together);
  for (const database of databases) await noteBaseline(pair.context(database));
  await pair.query('source', databases[1]!, 'create table late (id int primary key)');
  await expect(runOperation(op.fenceTogether, fence())).rejects.toThrow(/"late".*It was not fenced/);
  const { sourceLedger: ledger } = fence();
  const lacking = { missing: expect.arrayContaining(['CONNECT revoked']) as string[] };
  expect(await op.fenceTogether.check(fence())).toEqual({
    holds: false,
    missing: databases.map((database) => ({ database, ...lacking })),
  });
  expect(await ledger.entriesOn(databases, ['fence', 'fence-lsn'])).toEqual([]);
  await pair.query('source', databases[1]!, 'drop table late');

  const { output: fenced } = await proveContract(pair, op.fenceTogether, undefined, together);
  const { databases: fences } = op.fenceTogether.output.parse(fenced);
  expect(new Set(fences.map(({ lsn }) => lsn)).size).toBe(1);
  for (const database of databases) {
    // What it says of each is what the step of one would say.
    const verdict = await op.fenceSource.check(pair.context(database, together));
    expect(fences).toContainEqual({ database, ...(verdict.holds ? verdict.output : {}) });
    await expect(pair.query('source', database, 'insert into t values (9)')).rejects.toThrow(/read-only transaction/);
  }
  // A database that is asked what readers could do in it gives its session back for the next one: a server has room for few.
  const proofs = await ledger.entriesOn(databases, ['fence-lsn']);
  await ledger.replaceAll(
    'fence-lsn',
    new Map(proofs.map(({ database, before }) => [database, { ...Object(before), readers: ['nobody'] }])),
  );
  const sessions = async () => {
    for (const database of databases) await pair.clusters.source.forget(database);
    const [first, second] = databases.map((name) => lit(name).text);
    return (
      await pair.query('source', 'postgres', `select from pg_stat_activity where datname in (${first}, ${second})`)
    ).length;
  };
  const known = await sessions();
  await op.fenceTogether.check(fence());
  await eventually(async () => expect(await sessions()).toBeLessThanOrEqual(known));
  await ledger.replaceAll('fence-lsn', new Map(proofs.map(({ database, before: proof }) => [database, proof])));

  expect((await runOperation(op.awaitLsnTogether, fence())).output).toEqual({ databases: 2 });
  for (const database of databases)
    expect(await pair.query('target', database, 'select id from t')).toEqual([{ id: 1 }]);
  expect((await proveContract(pair, op.switchReverseTogether, undefined, back)).output).toEqual({ databases: 2 });

  // Behind another fence it is another position, and one for all of them.
  for (const database of databases) {
    await op.fenceSource.undo!(pair.context(database, together));
    await pair.query('source', database, 'insert into t values (2)');
  }
  await expect(runOperation(op.awaitLsnTogether, fence())).rejects.toThrow(/the fence does not stand/);
  await proveKilledAndRunAgain(pair, op.fenceTogether, undefined, [2, 6, 12, 20], together);
  await proveKilledAndRunAgain(pair, op.awaitLsnTogether, undefined, [1, 5], together);

  // In one job, and told as if each were in one of its own.
  for (const database of databases) {
    const parts = ['copy-sequences', 'copy-unreplicated', 'compare-tables', 'create-deferred-triggers'];
    const { output, changed } = await runOperation(op.carryOver, pair.context(database, together), {
      findings: 'block',
    });
    expect(changed).toBe(false);
    expect(output).toMatchObject({ parts: parts.map((operation) => ({ operation, changed: false })) });
    expect(output).toMatchObject({ parts: [{ output: { sequences: 0 } }, {}, { output: { tables: 1, rows: 2 } }, {}] });
    expect(await op.carryOver.check(pair.context(database, together))).toMatchObject({ holds: true });
  }
  expect(await op.switchReverseTogether.check(pair.context(undefined, back))).toEqual({
    holds: false,
    missing: databases.map((database) => ({ database, fence: expect.any(String) })),
  });
  await proveKilledAndRunAgain(pair, op.switchReverseTogether, undefined, [2, 5, 9, 14], back);
  const [position] = await positions(databases[0]!);
  for (const database of databases) {
    expect(await positions(database)).toEqual([position]);
    // What one step says of one, the other says of all.
    expect(await op.switchReverse.check(pair.context(database, back))).toEqual({ holds: true, output: position });
  }

  // Whoever lets somebody in, if only for a moment, keeps all of them closed.
  const name = id(databases[1]!).text;
  await pair.query(
    'source',
    'postgres',
    `grant connect on database ${name} to public; revoke connect on database ${name} from public`,
  );
  await expect(runOperation(op.agreeToOpen, fence())).rejects.toThrow(
    /^source, database "other, 100%[^"]*": the fence does not stand \(missing: the database as it was fenced/,
  );
  expect((await runOperation(op.fenceTogether, fence())).changed).toBe(true);
  await runOperation(op.awaitLsnTogether, fence());
  await runOperation(op.switchReverseTogether, pair.context(undefined, back));

  // Decided, and stopped before the first one is let in: whoever tries the step again opens all of them.
  const opening: ContextOptions = { databases, options: { together: true } };
  await expect(op.agreeToOpen.check(pair.context(undefined, opening))).resolves.toEqual({
    holds: false,
    missing: databases,
  });
  await agreeToOpen(pair.context(undefined, opening), databases);
  expect((await op.agreeToOpen.check(pair.context(undefined, opening))).holds).toBe(false);
  for (const database of databases) {
    expect((await op.finishOpening.check(pair.context(database, opening))).holds).toBe(false);
    expect(await limitOf(database)).toEqual([{ limit: 0 }]);
  }
  const { output } = await proveKilledAndRunAgain(pair, op.agreeToOpen, undefined, [4, 8, 13, 20, 30], opening);
  expect(output).toEqual({ databases: 2 });
  const openings = [];
  for (const database of databases) {
    expect(await limitOf(database)).toEqual([{ limit: -1 }]);
    const { targetLedger, sourceLedger } = pair.context(database);
    const kept = await targetLedger.entriesOn([database], ['opened', 'database']);
    expect(kept).toMatchObject([{ kind: 'opened', before: { outageMs: expect.any(Number) } }]);
    expect(await sourceLedger.find({ kind: 'opened', database })).toMatchObject({ before: kept[0]!.before as object });
    const { enabled } = await pair.engine.subscription(pairOf(pair.context(database)));
    expect(enabled).toBe(false);
    // Its own step finds it open, and says that this run has done it.
    const found = await runOperation(op.openTarget, pair.context(database, opening));
    expect(found).toMatchObject({ changed: false, output: { ours: true } });
    openings.push((found.output as { readonly openedAt: string }).openedAt);
    expect((await runOperation(op.finishOpening, pair.context(database, opening))).changed).toBe(false);
  }
  // All in the same moment.
  expect(new Set(openings).size).toBe(1);
  // The old one belongs to its owner again: a later pass leaves it alone.
  await pair.query('source', 'postgres', `alter database ${name} connection limit 7`);
  for (const step of [op.fenceTogether, op.awaitLsnTogether, op.copyPrivilegesTogether, op.agreeToOpen])
    expect((await runOperation(step, pair.context(undefined, opening))).changed).toBe(false);
  expect((await runOperation(op.switchReverseTogether, pair.context(undefined, back))).changed).toBe(false);
  const verdict = await op.fenceTogether.check(pair.context(undefined, opening));
  expect(verdict).toMatchObject({ output: { databases: [{ database: databases[0] }], opened: [databases[1]] } });

  // What came over does not come back, what is new comes once.
  const backwards = async () => {
    for (const database of databases) {
      const context = pair.context(database, opening);
      await op.createSubscription.undo!(context);
      await op.createSlot.undo!(context);
      await pair.query('target', database, 'insert into t values (3)');
      await runOperation(op.startReverse, pair.context(database, WAY_BACK));
    }
  };
  await backwards();
  for (const database of databases) {
    await eventually(async () => {
      expect(await pair.query('source', database, 'select id from t order by id')).toEqual(
        [1, 2, 3].map((n) => ({ id: n })),
      );
    });
  }

  // And back: each behind its own fence, which is taken down again. That is no engine's business.
  if (engine === 'pglogical') return;
  const returning: ContextOptions = { databases, options: { together: true, back: true }, reversed: true };
  // What is granted on the new cluster meanwhile holds on the old one too, as far as its roles are there.
  const roles = ['late, one', 'only there'].map((base) => id(pair.name(base)).text);
  for (const role of roles) await pair.query('target', 'postgres', `create role ${role}`);
  await pair.query('source', 'postgres', `create role ${roles[0]}`);
  for (const database of databases)
    await pair.query(
      'target',
      'postgres',
      `grant create on database ${id(database).text} to ${roles.join(', ')}; alter database ${id(database).text} connection limit 9`,
    );
  await runOperation(op.fenceTogether, pair.context(undefined, returning));
  await runOperation(op.awaitLsnTogether, pair.context(undefined, returning));
  expect((await runOperation(op.copyPrivilegesTogether, pair.context(undefined, returning))).output).toEqual({
    databases: 2,
  });
  // Stopped when one was open, and still replicated.
  const killer = new AbortController();
  const killed = pair.context(undefined, { ...returning, signal: killer.signal });
  const info = (text: unknown) => text === 'the fence is down' && killer.abort(new Error('killed by the test'));
  const log = Object.assign(Object.create(killed.log) as typeof killed.log, { info });
  await expect(runOperation(op.agreeToOpen, { ...killed, log })).rejects.toThrow('killed by the test');
  expect(await op.agreeToOpen.check(pair.context(undefined, returning))).toEqual({
    holds: false,
    missing: databases,
  });
  const notes: string[] = [];
  const again = { ...returning, onNote: (line: string) => notes.push(line) };
  await proveKilledAndRunAgain(pair, op.agreeToOpen, undefined, [4, 8, 13, 20, 30, 45], again);
  for (const database of databases) {
    const granted = await pair.query(
      'source',
      'postgres',
      `select datconnlimit as "limit", array(select grantee::regrole::text from aclexplode(datacl) where privilege_type = 'CREATE' and grantee <> datdba) as creators
         from pg_database where datname = ${lit(database).text}`,
    );
    expect(granted).toEqual([{ limit: 9, creators: [roles[0]] }]);
    expect(notes).toContainEqual(expect.stringContaining(`CREATE for ${roles[1]} was not given`));
    expect(await pair.context(database).sourceLedger.find({ kind: 'privileges-owed', database })).toBeUndefined();
    await pair.query('source', database, 'insert into t values (4)');
    await expect(pair.query('target', database, 'insert into t values (4)')).rejects.toThrow(/read-only transaction/);
    expect(await runOperation(op.openTarget, pair.context(database, returning))).toMatchObject({ changed: false });
    expect(await pair.context(database).targetLedger.find({ kind: 'database', database })).toBeDefined();
  }
});

test('a group of which one was opened before, without a way back, and another is dropped once it is decided', async () => {
  await using pair = await TestPair.open();
  const databases: string[] = [];
  for (const base of ['opened before', 'My "odd" DB', 'dropped, 100%']) {
    const database = await schemaOnBothSides(pair, base, 'create table t (id int primary key)');
    databases.push(database);
    await closeTarget(pair.context(database));
    await walkTo(pair, database, 'await-catch-up');
  }
  const [before, other, dropped] = databases as [string, string, string];
  for (const operation of [op.fenceSource, op.awaitLsn, op.copyDatabasePrivileges, op.openTarget])
    await runOperation(operation, pair.context(before));

  // As stop does it, for those that were not opened before with a way back.
  const together: ContextOptions = { databases, options: { together: true, reverse: true } };
  const wayBack: ContextOptions = { ...together, reversed: true, input: { wayBack: true } };
  await runOperation(op.createReplicationRole, pair.context(undefined, { ...together, reversed: true }));
  for (const database of databases) {
    await runOperation(op.grantReplicationRole, pair.context(database, { ...together, reversed: true }));
    for (const operation of [op.createPublication, op.createSlot, op.createSubscription])
      await runOperation(operation, pair.context(database, wayBack));
  }
  const all = () => pair.context(undefined, together);
  for (const operation of [op.fenceTogether, op.awaitLsnTogether, op.copyPrivilegesTogether])
    await runOperation(operation, all());
  expect(await runOperation(op.switchReverseTogether, pair.context(undefined, wayBack))).toMatchObject({
    changed: true,
    output: { databases: 3 },
  });

  // Decided; then its worker is killed, and somebody takes the old one away.
  await agreeToOpen(all(), databases);
  await pair.engine.disable(pairOf(pair.context(dropped)));
  await pair.engine.dropSubscription(pairOf(pair.context(dropped, { reversed: true })));
  await pair.clusters.source.forget(dropped);
  await eventually(() => pair.query('source', 'postgres', `drop database ${id(dropped).text} with (force)`));
  expect((await runOperation(op.agreeToOpen, all())).output).toEqual({ databases: 3 });
  const limits = await pair.query(
    'target',
    'postgres',
    `select datconnlimit as "limit" from pg_database where datname in (${databases.map((name) => lit(name).text).join(', ')})`,
  );
  expect(limits).toEqual(databases.map(() => ({ limit: -1 })));

  for (const [database, subscription, told] of [
    [before, null, [expect.stringMatching(/without a way back/)]],
    [other, expect.any(String), []],
  ] as const) {
    const context = pair.context(database, together);
    await op.createSubscription.undo!(context);
    await op.createSlot.undo!(context);
    const notes: string[] = [];
    const back = { ...wayBack, input: {}, onNote: (line: string) => notes.push(line) };
    expect((await runOperation(op.startReverse, pair.context(database, back))).output).toEqual({ subscription });
    expect(notes).toEqual(told);
    await pair.query('target', database, 'insert into t values (1)');
  }
  await eventually(async () => expect(await pair.query('source', other, 'select id from t')).toEqual([{ id: 1 }]));
  expect(await pair.query('source', before, 'select id from t')).toEqual([]);
});
