import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import type { HookEvent } from '../../src/postgres/hooks.ts';
import type { RunView } from '../../src/queue/types.ts';
import { onServer } from '../helpers/pair.ts';
import { createPgbenchTables, startPgbench } from '../helpers/pgbench.ts';
import { startPgbouncer } from '../helpers/pgbouncer.ts';
import { Program } from '../helpers/program.ts';
import { runFolder } from '../helpers/run-folder.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';
import type { ClusterInfo } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';

const DATABASES = ['shop', 'billing', 'Orders', 'crm', 'stock'];
const APP = { user: 'app', password: 'app secret' };
const SECRET = 'hook-s3cret';

interface Said {
  readonly run?: RunView;
}

test('pgbench through PgBouncer over the cutover of 5 databases and back again: pauses, no error, nothing lost', async () => {
  await using source = await startCluster({ major: 15, name: 'source' });
  await using target = await startCluster({ major: 18, name: 'target' });
  await using redis = await startRedis();
  await onServer(source, 'postgres', `create role app login password '${APP.password}'`);
  for (const name of DATABASES) await onServer(source, 'postgres', `create database "${name}" owner app`);
  await Promise.all(DATABASES.map((database) => createPgbenchTables(target, { ...source, ...APP, database })));
  await using bouncer = await startPgbouncer({ cluster: source, databases: DATABASES });
  const before = bouncer.text();

  const folder = mkdtempSync(join(runFolder(), 'traffic-'));
  const [hold, reached] = ['hold', 'reached'].map((name) => join(folder, name));
  const hook = (at: HookEvent, script: string) => ({
    at,
    timeout: '60s',
    command: ['sh', '-c', script],
    environment: { TOKEN: SECRET },
  });
  await using program = await Program.open({
    source,
    target,
    redis,
    config: {
      budgets: { cutovers: DATABASES.length },
      deadlines: { fence: '4s' },
      cutover: {
        together: true,
        reverse: true,
        pgbouncer: [
          {
            host: bouncer.host,
            port: bouncer.port,
            user: bouncer.user,
            password: bouncer.password,
            file: bouncer.file,
          },
        ],
        hooks: [
          hook('before-fence', `touch ${reached}; while test -e ${hold}; do sleep 0.05; done`),
          hook('fenced', 'echo "fenced, with $TOKEN"'),
          hook('opened', `printf '%s' "$PGCONVOY_DATABASES" > ${folder}/opened`),
          hook('rolled-back', `printf '%s' "$PGCONVOY_DIRECTION" > ${folder}/rolled-back`),
        ],
      },
    },
  });
  const worker = await program.startWorker();
  for (const words of [['fix', '--yes'], ['setup'], ['start']]) {
    const { code, stdout, stderr } = await program.run(...words);
    expect(code, `${words[0]}: ${stdout}\n${stderr}`).toBe(0);
  }
  const benches = DATABASES.map((database) => startPgbench(target, { ...bouncer, ...APP, database }, 20));
  await expect.poll(() => benches.every((bench) => bench.committed() > 20), { timeout: 20_000 }).toBe(true);

  const paused = async () => (await bouncer.show('show databases')).filter((each) => each['paused'] !== 0);
  const goOn = async (more: number) => {
    const soFar = benches.map((bench) => bench.committed());
    await expect
      .poll(() => benches.every((bench, index) => bench.committed() > soFar[index]! + more), { timeout: 30_000 })
      .toBe(true);
  };

  // One whose target cannot take the last row: when it is given up, its clients are back on the source.
  writeFileSync(hold!, '');
  const giving = program.json<Said>('stop', '--yes', '--databases', 'shop');
  await expect.poll(() => existsSync(reached!), { timeout: 60_000 }).toBe(true);
  const blocker = new pg.Client({ ...target, database: 'shop' });
  blocker.on('error', () => {});
  await blocker.connect();
  await blocker.query('begin; lock table pgbench_branches in access exclusive mode');
  rmSync(hold!);
  const failed = await giving;
  expect([failed.code, failed.document.run?.state], `${failed.stdout}`).toEqual([1, 'failed-steps']);
  expect(await paused()).toEqual([]);
  expect(bouncer.text()).toBe(before);
  await blocker.query('rollback');
  await blocker.end();
  await goOn(10);
  expect((await program.run('cancel', failed.document.run!.id)).code).toBe(0);

  const began = Date.now();
  const stopped = await program.json<Said>('stop', '--yes');
  expect([stopped.code, stopped.document.run?.state], `${stopped.stdout}`).toEqual([0, 'completed']);
  await goOn(20);
  const onTarget = benches.map((bench) => bench.committed());
  const there = await historyOf(target);
  for (const [index, count] of onTarget.entries()) expect(there[index]!.count).toBeGreaterThanOrEqual(count);
  expect(bouncer.text()).toBe(before.replaceAll(`port=${source.port}`, `port=${target.port}`));
  expect(JSON.parse(readFileSync(join(folder, 'opened'), 'utf8')).toSorted()).toEqual(DATABASES.toSorted());
  const { stdout } = await program.run('logs', stopped.document.run!.id);
  expect(stdout).toContain('sh: fenced, with ***');

  // And back, with the same clients.
  const turned = Date.now();
  const back = await program.json<Said>('rollback', '--yes');
  expect([back.code, back.document.run?.state], `${back.stdout}`).toEqual([0, 'completed']);
  await goOn(20);
  const results = await Promise.all(benches.map((bench) => bench.stop()));
  expect(bouncer.text()).toBe(before);
  expect(readFileSync(join(folder, 'rolled-back'), 'utf8')).toBe('back');

  const longest = (from: number, to?: number) => results.map(({ longestBetween }) => longestBetween(from, to));
  for (const [what, pauses] of [
    ['over', longest(began, turned)],
    ['back', longest(turned)],
  ] as const)
    console.log(
      `${what}: longest pause of all ${Math.max(...pauses).toFixed(0)} ms, of each ${pauses.map(Math.round).join(', ')}`,
    );
  for (const { database, committed, failed: errors, errors: said } of results) {
    console.log(`${database}: ${committed} committed, ${errors} failed`);
    expect([errors, said]).toEqual([0, '']);
  }
  // Each transaction is on both sides: rows travel forth again.
  const all = results.map(({ committed }) => committed);
  for (const side of [source, target])
    await eventually(
      async () => {
        const seen = await historyOf(side);
        expect(seen.map(({ count }) => count)).toEqual(all);
        expect(seen.map(({ balance }) => balance)).toEqual(seen.map(({ delta }) => delta));
      },
      { timeoutMs: 60_000 },
    );
  expect(stdout + worker.log() + stopped.stdout + back.stdout).not.toContain(SECRET);
  expect(await paused()).toEqual([]);
});

/** How many transactions each database has, what they have added, and what its accounts hold. */
const historyOf = (cluster: ClusterInfo) =>
  Promise.all(
    DATABASES.map(async (database) => {
      const [row] = await onServer(
        cluster,
        database,
        `select (select count(*)::int from pgbench_history) as count,
                (select sum(delta)::int from pgbench_history) as delta,
                (select sum(abalance)::int from pgbench_accounts) as balance`,
      );
      return row as { readonly count: number; readonly delta: number; readonly balance: number };
    }),
  );
