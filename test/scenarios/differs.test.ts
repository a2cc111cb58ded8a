import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { onServer } from '../helpers/pair.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';

test('a difference that is found after the opening: rows travel back already, and rollback loses none', async () => {
  await using scenario = await Scenario.open({
    databases: ['testdb'],
    config: { cutover: { reverse: true }, comparison: { mode: 'fast' } },
  });
  const { source, target, program } = scenario;
  const worker = await program.startWorker();
  for (const words of [['fix', '--yes'], ['setup'], ['start']]) await scenario.complete(...words);
  await onServer(target, 'testdb', 'delete from public.animal where id = 1');

  const failed = assertRun(await scenario.command('stop', '--yes'), 3, 'failed-steps');
  expect(stepsOf(failed).filter(({ state }) => state === 'failed')).toMatchObject([
    {
      operation: 'compare-opened',
      error: { hint: expect.stringContaining(`cancel ${failed.id} and pgconvoy rollback`) },
    },
  ]);
  await onServer(target, 'testdb', "insert into public.animal (name) values ('tiger')");

  await worker.stop();
  const file = join(program.folder, 'pgconvoy.yaml');
  const accept = [{ finding: 'rows-differ', database: 'testdb', reason: 'the old cluster has them' }];
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), accept }));
  await program.startWorker();
  expect((await scenario.command('cancel', failed.id)).code).toBe(0);
  await scenario.complete('rollback', '--yes');
  const animals = 'select name from public.animal where id = 1 or name = $$tiger$$ order by id';
  expect(await onServer(source, 'testdb', animals)).toMatchObject([{}, { name: 'tiger' }]);
  await onServer(source, 'testdb', "insert into public.animal (name) values ('lion')");
});
