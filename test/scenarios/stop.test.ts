import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { expect, test } from 'vitest';
import type { Report } from '../../src/cli/report/report.ts';
import { subscriptionName } from '../../src/replication/names.ts';
import { lit } from '../../src/postgres/sql.ts';
import type { Notice } from '../../src/queue/notices.ts';
import { onServer } from '../helpers/pair.ts';
import { startReceiver } from '../helpers/receiver.ts';
import { runFolder } from '../helpers/run-folder.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import { eventually } from '../helpers/wait.ts';

test('a target that cannot take the last row: stop gives both databases back and drops nothing; retry opens both, with the rows', async () => {
  const told = join(mkdtempSync(join(runFolder(), 'stop-')), 'told');
  await using receiver = await startReceiver();
  await using scenario = await Scenario.open({
    databases: ['testdb', 'shop'],
    config: {
      deadlines: { fence: '2s' },
      notifications: { webhooks: [{ name: 'on call', url: receiver.url, on: ['given-back'] }] },
      cutover: { hooks: [{ at: 'before-fence', command: ['sh', '-c', `echo jobs stop >> ${told}`] }] },
    },
  });
  const { source, target } = scenario;
  await scenario.program.startWorker();
  for (const words of [['fix', '--yes'], ['setup'], ['start']]) await scenario.complete(...words);
  const animals = (side: typeof source) => onServer(side, 'testdb', 'select count(*)::int from public.animal');
  const name = lit(subscriptionName('testdb')).text;
  const ways = async () => [
    ...(await onServer(target, 'postgres', `select subenabled from pg_subscription where subname = ${name}`)),
    ...(await onServer(source, 'postgres', `select active from pg_replication_slots where slot_name = ${name}`)),
  ];

  // A look into all definitions would wait for the lock that is to come; the next one need not look again.
  expect((await scenario.program.run('status', '--drift')).code).toBe(0);
  const blocker = new pg.Client({ ...target, database: 'testdb' });
  await blocker.connect();
  await blocker.query('begin; lock table public.animal in access exclusive mode');
  await onServer(source, 'testdb', "insert into public.animal (name) values ('mouse')");
  const failed = assertRun(await scenario.command('stop', '--yes', '--together'), 1, 'failed-steps');

  expect(stepsOf(failed).filter(({ state }) => state === 'failed')).toMatchObject([
    {
      operation: 'await-lsn-together',
      error: {
        message: expect.stringMatching(
          /^target, database "testdb": it has not got everything .* given back: the source takes writes again/,
        ),
      },
    },
  ]);
  expect(await ways()).toEqual([{ subenabled: true }, { active: true }]);
  await onServer(source, 'testdb', "insert into public.animal (name) values ('elephant')");
  await onServer(source, 'shop', 'create table late (id int primary key); drop table late');
  await blocker.query('rollback');
  await blocker.end();

  // The lane of the other database may just be coming to its own end.
  await eventually(
    async () => {
      const { run } = await scenario.command('status', failed.id);
      expect(stepsOf(run!).filter(({ state }) => ['active', 'waiting', 'delayed'].includes(state))).toEqual([]);
    },
    { timeoutMs: 60_000 },
  );
  // Whoever is on call was told, of each once.
  const notices = await eventually(
    () => {
      const all = receiver.taken.flatMap(({ body }) => body.notices as Notice[]);
      expect(all.map(({ database }) => database).toSorted()).toEqual(['shop', 'testdb']);
      return all;
    },
    { timeoutMs: 20_000 },
  );
  for (const notice of notices)
    expect(notice).toMatchObject({
      event: 'given-back',
      run: failed.id,
      what: expect.stringContaining('was given back: it takes writes where it did before'),
      why: expect.stringMatching(/./),
      next: expect.stringContaining(`pgconvoy retry ${failed.id}`),
    });
  expect((await scenario.command('retry', failed.id)).code).toBe(0);
  await scenario.follow(failed.id);
  // Once is enough: no later step does it yet another time.
  const lines = (await scenario.program.run('logs', failed.id)).stdout.split('\n');
  expect(lines.filter((line) => /once more.*: (check-drift|fence-together|carry-over)$/.test(line))).toHaveLength(2);
  expect(await ways()).toEqual([]);
  expect(await animals(target)).toEqual(await animals(source));
  expect(await animals(target)).toEqual([{ count: 2_002 }]);

  // What stops jobs of the application has run again, and the report is of the last pass.
  expect(readFileSync(told, 'utf8')).toBe('jobs stop\njobs stop\n');
  const { report } = (await scenario.program.json<{ readonly report: Report }>('report', failed.id)).document;
  const fence = report.cluster.find(({ key }) => key === 'fence-together');
  expect(fence?.again?.startedAt).toBeGreaterThan(fence!.finishedAt!);
  for (const { name: database, cutover, sequences } of report.databases) {
    expect([database, cutover?.passes]).toEqual([database, 2]);
    expect(Date.parse(cutover!.fencedAt)).toBeGreaterThan(fence!.finishedAt!);
    expect(sequences?.total).toBeGreaterThan(0);
  }
  const text = (await scenario.program.run('report', failed.id)).stdout;
  expect(text).toContain('2 times: it was given back in between');
  expect(receiver.taken.flatMap(({ body }) => body.notices as Notice[])).toHaveLength(2);
});
