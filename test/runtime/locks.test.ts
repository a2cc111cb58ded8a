import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DatabaseLocks } from '../../src/runtime/locks.ts';
import { TestPair } from '../helpers/pair.ts';
import { eventually } from '../helpers/wait.ts';

describe('DatabaseLocks', () => {
  let pair: TestPair;
  const open: DatabaseLocks[] = [];
  /** As another worker process would: sessions of its own. */
  const worker = () => {
    const locks = new DatabaseLocks(pair.clusters);
    open.push(locks);
    return locks;
  };
  const request = (change: Partial<Parameters<DatabaseLocks['hold']>[1]> = {}) => ({
    signal: new AbortController().signal,
    deadlineMs: 5_000,
    onLost: () => {},
    ...change,
  });

  beforeAll(async () => {
    pair = await TestPair.open();
  });
  afterAll(async () => {
    await Promise.all(open.map((locks) => locks.close()));
    await pair[Symbol.asyncDispose]();
  });

  test('one database is held once, in the process and among processes; others are free', async () => {
    const [one, two] = [worker(), worker()];
    const release = await one.hold('a', request());
    const waits: string[] = [];
    let got = 0;
    const later = [one, two].map(async (locks) => {
      const releaseLater = await locks.hold('a', request({ onWait: (holder) => waits.push(holder) }));
      got += 1;
      expect(got).toBe(1);
      await sleep(50);
      got -= 1;
      await releaseLater();
    });
    for (const other of ['b', undefined]) await (await two.hold(other, request()))();
    expect(got).toBe(0);
    await eventually(() => expect(waits.length).toBeGreaterThanOrEqual(2));
    expect(waits).toContain('another step of this worker');
    expect(
      waits.some((holder) => /^the session with pid \d+ \(pgconvoy\/locks, from 127\.0\.0\.1\)$/.test(holder)),
    ).toBe(true);
    await release();
    await Promise.all(later);
  });

  test('many databases are held all or none, and handed over by the worker that had them last', async () => {
    const [one, two, three] = [worker(), worker(), worker()];
    const names = Array.from({ length: 40 }, (_, n) => `many ${n}`);
    // Each lingers with the first worker.
    for (const name of names) await (await one.hold(name, request()))();
    const release = await two.holdAll([undefined, ...names], request());
    await expect(three.hold(names[39], request({ deadlineMs: 0 }))).rejects.toThrow(/is being worked on by/);
    await release();

    const releaseLast = await one.hold(names[39], request());
    await expect(two.holdAll([undefined, ...names], request({ deadlineMs: 200 }))).rejects.toThrow(
      /^source: database "many 39" is being worked on by the session/,
    );
    await (
      await three.holdAll([undefined, ...names.slice(0, 39)], request())
    )();
    await releaseLast();
  });

  test('after the deadline the holder is named, and the step waits for its turn', async () => {
    const [one, two] = [worker(), worker()];
    const release = await one.hold('My "odd" DB', request());
    const error = await two.hold('My "odd" DB', request({ deadlineMs: 300 })).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      disposition: 'wait',
      message: expect.stringMatching(
        /^source: database "My "odd" DB" is being worked on by the session with pid \d+ \(pgconvoy\/locks/,
      ) as unknown,
    });
    const local = await one.hold('My "odd" DB', request({ deadlineMs: 100 })).catch((thrown: unknown) => thrown);
    expect(local).toMatchObject({
      disposition: 'wait',
      message: expect.stringContaining('another step of this worker') as unknown,
    });
    await release();
    await (
      await two.hold('My "odd" DB', request())
    )();
  });

  test('a lock that was given back stays with its session until somebody else asks for it', async () => {
    const [one, two] = [worker(), worker()];
    const hash = createHash('sha256').update('pgconvoy database "lingering"').digest();
    const [upper, lower] = [hash.readUInt32BE(0), hash.readUInt32BE(4)];
    const holders = async () => {
      const held = `select pid from pg_locks where locktype = 'advisory' and classid = ${upper} and objid = ${lower}`;
      return (await pair.query('source', 'postgres', held)).map(({ pid }) => pid as number);
    };
    // Shorter than it stays by itself: whoever asks for it is heard.
    const take = async (locks: DatabaseLocks) => (await locks.hold('lingering', request({ deadlineMs: 1_000 })))();
    await take(one);
    const first = await holders();
    expect(first).toHaveLength(1);
    await take(one);
    expect(await holders()).toEqual(first);
    await take(two);
    const second = await holders();
    expect(second).toHaveLength(1);
    expect(second).not.toEqual(first);
    // Nobody asks for it: it is given back by itself.
    await eventually(async () => expect(await holders()).toEqual([]));
  });

  test('a wait ends with its signal and leaves nothing held', async () => {
    const [one, two] = [worker(), worker()];
    const release = await one.hold('c', request());
    const controller = new AbortController();
    const waiting = two.hold('c', request({ signal: controller.signal }));
    await sleep(100);
    controller.abort(new Error('cancelled'));
    await expect(waiting).rejects.toThrow('cancelled');
    await release();
    await (
      await two.hold('c', request())
    )();
  });

  test.each(['source', 'target'] as const)(
    'when the session on the %s dies, whoever held a lock is told, and locks can be had again',
    async (side) => {
      const [one, two] = [worker(), worker()];
      const lost: string[] = [];
      const releases = await Promise.all(
        ['d', 'e'].map((name) =>
          one.hold(name, request({ onLost: (error) => lost.push(`${name} ${error.disposition}`) })),
        ),
      );
      await pair.query(
        side,
        'postgres',
        `select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a using (pid)
        where locktype = 'advisory' and application_name = 'pgconvoy/locks' and a.datname = 'maintenance_${pair.suffix}'`,
      );
      await eventually(() => expect(lost.sort()).toEqual(['d retry', 'e retry']));
      await Promise.all(releases.map((release) => release()));
      for (const locks of [two, one]) await (await locks.hold('d', request()))();
    },
  );
});
