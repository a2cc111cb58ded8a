import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import type { RunView } from '../../src/queue/types.ts';
import { onServer } from '../helpers/pair.ts';
import { createPgbenchTables, startPgbench } from '../helpers/pgbench.ts';
import { startPgbouncer } from '../helpers/pgbouncer.ts';
import { Program } from '../helpers/program.ts';
import { runFolder } from '../helpers/run-folder.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';

const DATABASES = ['shop', 'billing', 'Orders', 'crm', 'stock'];
const APP = { user: 'app', password: 'app secret' };
const SECRET = 'hook-s3cret';

interface Said {
  readonly run?: RunView;
}

test('pgbench through PgBouncer over the cutover of 5 databases: a pause, no error, nothing lost', async () => {
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
  const hook = (at: 'before-fence' | 'fenced' | 'opened', script: string) => ({
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
  const { id } = stopped.document.run!;
  await goOn(20);
  const results = await Promise.all(benches.map((bench) => bench.stop()));

  for (const { database, committed: acknowledged, failed: errors, longestSince, errors: said } of results) {
    console.log(
      `${database}: ${acknowledged} committed, ${errors} failed, longest pause ${longestSince(began).toFixed(0)} ms`,
    );
    expect([errors, said]).toEqual([0, '']);
    const [rows] = await onServer(
      target,
      database,
      'select count(*)::int as n, sum(delta)::int as delta from pgbench_history',
    );
    const [sums] = await onServer(target, database, 'select sum(abalance)::int as delta from pgbench_accounts');
    expect(rows).toEqual({ n: acknowledged, delta: sums?.['delta'] });
  }
  console.log(
    `longest pause of all: ${Math.max(...results.map(({ longestSince }) => longestSince(began))).toFixed(0)} ms`,
  );

  expect(bouncer.text()).toBe(before.replaceAll(`port=${source.port}`, `port=${target.port}`));
  const { stdout } = await program.run('logs', id);
  expect(stdout).toContain('sh: fenced, with ***');
  expect(stdout + worker.log() + stopped.stdout).not.toContain(SECRET);
  expect(JSON.parse(readFileSync(join(folder, 'opened'), 'utf8')).toSorted()).toEqual(DATABASES.toSorted());
  expect(await paused()).toEqual([]);
});
