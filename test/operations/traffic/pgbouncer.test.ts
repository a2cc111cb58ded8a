import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { pgbouncers as concern } from '../../../src/operations/checks/clusters/pgbouncer.ts';
import { findingsIn } from '../../../src/operations/checks/concern.ts';
import { givenBackKey } from '../../../src/operations/cutover/given-back.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { pausePgbouncer } from '../../../src/operations/traffic/pause-pgbouncer.ts';
import { switchPgbouncer } from '../../../src/operations/traffic/switch-pgbouncer.ts';
import { releaseTraffic } from '../../../src/operations/traffic/traffic.ts';
import { PgBouncer } from '../../../src/postgres/pgbouncer.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { keeperLooks } from '../../helpers/keeper.ts';
import { TestPair } from '../../helpers/pair.ts';
import { startPgbouncer } from '../../helpers/pgbouncer.ts';
import type { Pgbouncer } from '../../helpers/pgbouncer.ts';

/** Of a run that has PgBouncers to switch. */
const options = { pgbouncer: true };

describe('a PgBouncer', () => {
  let pair: TestPair;
  let bouncer: Pgbouncer;
  let database: string;
  let role: string;
  const pgbouncers: PgBouncer[] = [];
  beforeAll(async () => {
    pair = await TestPair.open({ traffic: { hooks: [], pgbouncers } });
    database = await pair.database(`My "o'dd" DB`, '', ['source', 'target']);
    role = pair.name('App "A"');
    await pair.query('source', 'postgres', `create role ${pg.escapeIdentifier(role)} login password 'secret'`);
    // As copy-roles does: the same hash on both sides, with which PgBouncer logs in to either.
    const [{ hash } = {}] = await pair.query(
      'source',
      'postgres',
      `select rolpassword as hash from pg_authid where rolname = ${pg.escapeLiteral(role)}`,
    );
    await pair.query(
      'target',
      'postgres',
      `create role ${pg.escapeIdentifier(role)} login password ${pg.escapeLiteral(String(hash))}`,
    );
    const quoted = database.replaceAll("'", "''");
    bouncer = await startPgbouncer({
      cluster: pair.source,
      databases: [
        `odd-1.x = host=${pair.source.host} port=${pair.source.port} dbname='${quoted}' pool_size=3`,
        `ALIAS=dbname='${quoted}' host=${pair.source.host}  port=${pair.source.port}`,
        `other = host=${pair.source.host} port=${pair.source.port} dbname=postgres`,
      ],
    });
    pgbouncers.push(consoleOf());
  });
  afterAll(async () => {
    await bouncer.stop();
    await pair.query('source', 'postgres', `drop role ${pg.escapeIdentifier(role)}`);
    await pair.query('target', 'postgres', `drop role ${pg.escapeIdentifier(role)}`);
    await pair[Symbol.asyncDispose]();
  });

  function consoleOf(more: { port?: number; databases?: Record<string, string>; file?: string } = {}): PgBouncer {
    const { host, port, user, password, file } = bouncer;
    return new PgBouncer({
      address: { host, port: more.port ?? port, user, password, connectTimeoutMs: 2_000 },
      file: more.file ?? file,
      databases: more.databases,
      target: {},
      pauseTimeoutMs: 400,
    });
  }
  async function client(name = 'odd-1.x'): Promise<pg.Client> {
    const { host, port } = bouncer;
    const made = new pg.Client({ host, port, user: role, password: 'secret', database: name });
    await made.connect();
    return made;
  }
  const portOf = async (connected: pg.Client) =>
    (await connected.query<{ port: number }>('select inet_server_port() as port')).rows[0]?.port;
  const paused = async () =>
    (await bouncer.show('show databases')).filter(({ paused: is }) => is !== 0).map(({ name }) => name);
  const noted = async (reversed = false) =>
    (await pair.context(database, { reversed }).sourceLedger.entries(undefined, database)).map(
      ({ kind, object }) => `${kind} ${object}`,
    );
  /** Applications use this side from now on. */
  async function open(side: 'source' | 'target'): Promise<void> {
    const { sourceLedger, targetLedger, sourceCluster, targetCluster } = pair.context(database);
    const on = (await (side === 'source' ? sourceCluster : targetCluster).facts()).systemIdentifier;
    const note = { on, fencedAt: '2026-01-01', openedAt: '2026-01-01', lsn: '0/0', outageMs: 1 };
    for (const ledger of [sourceLedger, targetLedger]) await ledger.replace(openedKey(database), note);
  }

  test('its clients wait while it is paused, and go on where they were when it is taken back', async () => {
    const waiting = await client();
    const other = await client('other');
    const result = await proveContract(pair, pausePgbouncer, database, { options });
    expect(result.output).toEqual({ ways: [`${pgbouncers[0]!.place}/odd-1.x`, `${pgbouncers[0]!.place}/ALIAS`] });
    expect((await paused()).toSorted()).toEqual(['ALIAS', 'odd-1.x']);
    expect(await portOf(other)).toBe(pair.source.port);
    await other.end();

    let answered = false;
    const answer = portOf(waiting).finally(() => (answered = true));
    await expect
      .poll(async () => (await bouncer.show('show pools')).find(({ database: of }) => of === 'odd-1.x')?.['cl_waiting'])
      .toBe(1);
    expect(answered).toBe(false);
    expect(await pausePgbouncer.undo!(pair.context(database))).toBe(true);
    expect(await answer).toBe(pair.source.port);
    await waiting.end();
    expect(await paused()).toEqual([]);
    expect(await noted()).toEqual([]);
  });

  test('killed in the middle it converges, and is taken back by its notes alone', async () => {
    await proveKilledAndRunAgain(pair, pausePgbouncer, database, [1, 5, 10], { options });
    expect(await releaseTraffic(pair.context(database))).toBe(true);
    expect(await releaseTraffic(pair.context(database))).toBe(false);
    expect(await paused()).toEqual([]);
  });

  test('check: what stands in the way of a pause or a switch, before anything is touched', async () => {
    const [usual] = pgbouncers;
    const look = async (changed: PgBouncer = usual!) => {
      pgbouncers.splice(0, 1, changed);
      const seen = await concern.look(pair.context(undefined)).finally(() => pgbouncers.splice(0, 1, usual!));
      return findingsIn(seen).map(({ code, severity, message }) => [`${severity} ${code}`, message]);
    };
    const { place } = usual!;
    expect(await look()).toEqual([]);
    expect(await look(consoleOf({ port: 1 }))).toEqual([
      ['block pgbouncer-away', expect.stringContaining('127.0.0.1:1')],
    ]);
    expect(await look(consoleOf({ databases: { nowhere: database } }))).toEqual([
      ['block pgbouncer-database', `PgBouncer ${place}: "nowhere" has no line of its own in ${bouncer.file}.`],
      ['warning pgbouncer-database', expect.stringContaining(`has no line for "${database}"`)],
    ]);
    const copy = join(dirname(bouncer.file), 'other.ini');
    writeFileSync(copy, bouncer.text().replace(`odd-1.x = host=${pair.source.host}`, 'odd-1.x = host=10.255.0.1'));
    expect(await look(consoleOf({ file: copy }))).toEqual([
      ['block pgbouncer-stale', expect.stringContaining('"odd-1.x"')],
      ['block pgbouncer-elsewhere', expect.stringContaining(`leads to 10.255.0.1:${pair.source.port}`)],
    ]);
    await bouncer.show('set query_wait_timeout = 5');
    await bouncer.show('set pool_mode = session');
    expect(await look()).toEqual([
      ['warning pgbouncer-session', expect.stringContaining('"odd-1.x", "ALIAS"')],
      ['warning pgbouncer-patience', expect.stringContaining('waited for 5 s')],
    ]);
    await bouncer.show('reload');
  });

  test('a worker that dies between pause and fence: past the deadline its clients go on, and nobody pauses them unasked', async () => {
    const outageOf = (outage: number) => pair.context(database, { options: { ...options, outage } });
    await runOperation(pausePgbouncer, outageOf(60_000));
    expect(await keeperLooks(pair.clusters)).toBe(true);
    expect(await paused()).not.toEqual([]);
    await pausePgbouncer.undo!(outageOf(60_000));

    await runOperation(pausePgbouncer, outageOf(1));
    expect(await keeperLooks(pair.clusters)).toBe(true);
    expect(await paused()).toEqual([]);
    expect(await keeperLooks(pair.clusters)).toBe(false);
    await expect(runOperation(pausePgbouncer, outageOf(1))).rejects.toThrow(/deadline.*It was given back/);
    expect(await paused()).toEqual([]);
    await pair.context(database).sourceLedger.forget(givenBackKey(database));
  });

  test('a transaction that goes on: who holds it is told, and everybody else flows on', async () => {
    const holder = await client();
    await holder.query('begin');
    await expect(runOperation(pausePgbouncer, pair.context(database, { options }))).rejects.toMatchObject({
      message: expect.stringContaining('database "odd-1.x": 1 of its connections did not become free within 400 ms'),
      disposition: 'wait',
    });
    expect(await paused()).toEqual([]);
    expect(await noted()).toEqual([]);
    const next = await client();
    expect(await portOf(next)).toBe(pair.source.port);
    await holder.query('rollback');
    await Promise.all([holder.end(), next.end()]);
  });

  test('a console that is being logged in to: who gives up is not left waiting', async () => {
    const ends: string[] = [];
    for (let tenths = 0; tenths < 100; tenths++) {
      const signal = AbortSignal.timeout(Math.ceil(tenths / 10));
      ends.push(
        await consoleOf()
          .list(signal)
          .then(
            () => 'listed',
            (error: Error) => error.name,
          ),
      );
    }
    expect(new Set(ends)).toContain('TimeoutError');
  });

  test('a run without the option leaves it alone', async () => {
    await pausePgbouncer.apply!(pair.context(database), []);
    expect(await paused()).toEqual([]);
  });

  test('leads to the target once that is open, and back again, byte for byte', async () => {
    const original = bouncer.text();
    await expect(runOperation(switchPgbouncer, pair.context(database))).rejects.toThrow('is not open there');
    const waiting = await client();
    await runOperation(pausePgbouncer, pair.context(database, { options }));
    const answer = portOf(waiting);
    await open('target');
    const switched = await proveKilledAndRunAgain(pair, switchPgbouncer, database, [2, 8, 15], { options });
    expect(switched.output).toMatchObject({ ways: [expect.stringContaining('odd-1.x'), expect.anything()] });
    expect(await answer).toBe(pair.target.port);
    expect((await runOperation(switchPgbouncer, pair.context(database))).changed).toBe(false);
    expect((await runOperation(pausePgbouncer, pair.context(database, { options }))).changed).toBe(false);
    const lines = original.split('\n');
    const changed = bouncer.text().split('\n');
    expect(lines.filter((line, index) => line !== changed[index])).toHaveLength(2);
    expect(changed).toHaveLength(lines.length);
    expect(await noted()).toEqual([
      'opened ',
      `pgbouncer ${pgbouncers[0]!.place}/odd-1.x`,
      `pgbouncer ${pgbouncers[0]!.place}/ALIAS`,
    ]);

    const back = { options: { ...options, back: true }, reversed: true };
    await open('source');
    // Fenced on the new cluster, open on the old one again.
    await pair.context(database).targetLedger.forget(openedKey(database));
    await runOperation(pausePgbouncer, pair.context(database, back));
    const later = portOf(waiting);
    await open('source');
    await runOperation(switchPgbouncer, pair.context(database, back));
    expect(await later).toBe(pair.source.port);
    expect(bouncer.text()).toBe(original);
    expect(await noted()).toEqual(['opened ']);
    expect(await noted(true)).toEqual(['opened ']);
    expect(await paused()).toEqual([]);
    await waiting.end();
    await pair.context(database).sourceLedger.forget(openedKey(database));
    await pair.context(database).targetLedger.forget(openedKey(database));
  });

  test('what is wrong with it is told with its place and what to do', async () => {
    const [usual] = pgbouncers;
    const pausing = async (changed: PgBouncer) => {
      pgbouncers.splice(0, 1, changed);
      return runOperation(pausePgbouncer, pair.context(database, { options })).catch((error: unknown) => error);
    };
    expect(await pausing(consoleOf({ port: 1 }))).toMatchObject({
      name: 'UnreachableError',
      message: expect.stringContaining('PgBouncer 127.0.0.1:1: connect ECONNREFUSED'),
      hint: expect.stringContaining('cutover.pgbouncer'),
    });
    expect(await pausing(consoleOf({ databases: { nowhere: database } }))).toMatchObject({
      message: expect.stringContaining('no such database: nowhere (PAUSE "nowhere")'),
    });
    expect(await pausing(consoleOf({ file: '/nonexistent/pgbouncer.ini' }))).toMatchObject({
      message: 'here, the file /nonexistent/pgbouncer.ini of PgBouncer: cannot read it: there is no such file',
    });
    pgbouncers.splice(0, 1, usual!);
    expect(await noted()).toEqual([]);
  });

  test('a file that it does not read: its clients wait, and the step says where to look', async () => {
    const [usual] = pgbouncers;
    const copy = join(dirname(bouncer.file), 'copy.ini');
    writeFileSync(copy, bouncer.text());
    await runOperation(pausePgbouncer, pair.context(database, { options }));
    await open('target');
    pgbouncers.splice(0, 1, consoleOf({ file: copy }));
    await expect(runOperation(switchPgbouncer, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('does not lead "odd-1.x" to the open cluster'),
      disposition: 'retry',
    });
    expect((await paused()).toSorted()).toEqual(['ALIAS', 'odd-1.x']);

    pgbouncers.splice(0, 1, usual!);
    expect(await releaseTraffic(pair.context(database))).toBe(true);
    const released = await client();
    expect(await portOf(released)).toBe(pair.target.port);
    await released.end();
  });
});
