import pg from 'pg';
import { expect, test } from 'vitest';
import { subscriptionName } from '../../src/replication/names.ts';
import { lit } from '../../src/postgres/sql.ts';
import { onServer } from '../helpers/pair.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';

test('a target that cannot take the last row: stop gives the source back and drops nothing; retry has the row', async () => {
  await using scenario = await Scenario.open({ databases: ['testdb'], config: { deadlines: { fence: '2s' } } });
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
  const failed = assertRun(await scenario.command('stop', '--yes'), 1, 'failed-steps');

  expect(stepsOf(failed).filter(({ state }) => state === 'failed')).toMatchObject([{ operation: 'await-lsn' }]);
  expect(await ways()).toEqual([{ subenabled: true }, { active: true }]);
  await onServer(source, 'testdb', "insert into public.animal (name) values ('elephant')");
  await blocker.query('rollback');
  await blocker.end();

  expect((await scenario.command('retry', failed.id)).code).toBe(0);
  await scenario.follow(failed.id);
  expect(await ways()).toEqual([]);
  expect(await animals(target)).toEqual(await animals(source));
  expect(await animals(target)).toEqual([{ count: 2_002 }]);
});
