import pg from 'pg';
import { expect, test } from 'vitest';
import { onServer } from '../helpers/pair.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import { pictureCatalog, pictureDifferences } from '../helpers/workload/catalog.ts';

test('every command twice in a row: the second changes nothing and says so', async () => {
  await using scenario = await Scenario.open({ databases: ['testdb', 'shop', 'My "odd" DB'] });
  const { program, source, target } = scenario;
  await program.startWorker();
  const picture = () => Promise.all([pictureCatalog(source), pictureCatalog(target)]);

  for (const words of [['check'], ['fix'], ['setup'], ['start'], ['stop', '--yes'], ['uninstall'], ['uninstall']]) {
    const first = await scenario.command(...words);
    assertRun(first, words[0] === 'check' ? first.code : 0, 'completed');
    // The old databases, whose slots are gone, belong to their owners again.
    if (words[0] === 'stop')
      for (const { name } of scenario.databases)
        await onServer(
          source,
          'postgres',
          `grant connect on database ${pg.escapeIdentifier(name)} to public; alter database ${pg.escapeIdentifier(name)} reset default_transaction_read_only`,
        );
    const before = await picture();

    const second = await program.run(...words);
    const { run } = await scenario.command('status');

    expect(run!.id, `${words[0]} has started a second run`).not.toBe(first.run!.id);
    expect(run!.workflow).toBe(words[0]);
    expect(
      stepsOf(run!)
        .filter((step) => step.changed !== false)
        .map((step) => step.id),
    ).toEqual([]);
    expect({ words, code: second.code, text: second.stdout + second.stderr }).toEqual({
      words,
      code: first.code,
      text: expect.stringMatching(words[0] === 'check' ? /checked/ : /nothing to change/),
    });
    const after = await picture();
    expect([0, 1].flatMap((side) => pictureDifferences(before[side]!, after[side]!))).toEqual([]);
  }
});

test('a run is approved, cancelled and resumed once, however often it is asked', async () => {
  await using scenario = await Scenario.open({ databases: ['testdb', 'library'] });
  const { program } = scenario;
  await program.startWorker();
  const { id } = assertRun(await scenario.command('upgrade'), 6, 'waiting-approval');

  const again = await program.run('upgrade');
  expect(again.code).toBe(2);
  expect(again.stderr).toContain(id);

  expect((await program.run('cancel', id)).code).toBe(0);
  const cancelled = await program.run('cancel', id);
  expect({ code: cancelled.code, text: cancelled.stdout + cancelled.stderr }).toEqual({
    code: 0,
    text: expect.stringMatching(/already|was cancelled/),
  });
});
