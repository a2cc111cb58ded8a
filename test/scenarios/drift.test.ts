import { expect, test } from 'vitest';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import { onServer } from '../helpers/pair.ts';

interface Told {
  readonly replication?: { readonly drift: readonly { readonly database: string; readonly message: string }[] };
  readonly databases?: readonly {
    readonly database: string;
    readonly ok: boolean;
    readonly copied: readonly unknown[];
  }[];
}

test('tables change while rows stream; what was changed on one side alone holds up the cutover of that database alone', async () => {
  const odd = 'My "odd" DB';
  await using scenario = await Scenario.open({
    databases: ['testdb', odd, 'library'],
    config: { accept: ['schema-drift:library'] },
  });
  const { program, source, target } = scenario;
  await program.startWorker();
  await scenario.complete('fix');
  await scenario.complete('setup');
  await scenario.complete('start');
  await using writers = scenario.startWriters();
  await writers.everywhere();

  // With pgconvoy: nothing is left to say.
  // Behind -- everything is the statement.
  const statement = 'create table "new table" (id int primary key); alter schema public owner to current_user';
  const all = await program.run('ddl', '--all', '--json', '--', statement);
  expect([all.code, all.stderr]).toEqual([0, expect.not.stringContaining('error')]);
  const told = JSON.parse(all.stdout) as Told;
  expect(told.databases!.map(({ ok, copied }) => [ok, copied.length])).toEqual([
    [true, 1],
    [true, 1],
    [true, 1],
  ]);
  const refused = await program.run('ddl', 'testdb', '--', `create role app password 'secret'`);
  expect([refused.code, refused.stderr.includes('secret')]).toEqual([2, false]);
  expect((await program.json<Told>('status', '--drift')).document.replication!.drift).toEqual([]);

  // Without: named, in status and by the run that it holds up.
  await onServer(source, odd, 'create table "without us" (id int primary key); insert into "without us" values (1)');
  await onServer(source, odd, 'alter table "new table" add column note text not null default $$x$$');
  await onServer(source, 'library', 'create table nobody_misses (id serial primary key)');
  const { document } = await program.json<Told>('status', '--drift');
  expect(document.replication!.drift.map(({ database, message }) => [database, message])).toEqual([
    ['library', expect.stringMatching(/^sequence "public"."nobody_misses_id_seq" was made.*accepted/)],
    ['library', expect.stringMatching(/^table "public"."nobody_misses" was made on the source.*accepted/)],
    [odd, 'table "public"."new table": column "note" was added on the source (text not null default \'x\'::text)'],
    [odd, 'table "public"."without us" was made on the source, and the target lacks it'],
  ]);
  expect((await program.run('status', '--drift')).stdout).toContain('column "note" was added on the source');

  const held = assertRun(await scenario.command('stop', '--yes'), 3, 'failed-steps');
  const states = stepsOf(held)
    .filter(({ key }) => key === 'open-target')
    .map(({ database, state }) => [database, state]);
  expect(new Map(states as [string, string][])).toEqual(
    new Map([
      ['testdb', 'completed'],
      ['library', 'completed'],
      [odd, 'pending'],
    ]),
  );

  // The lines that it has named, then the rest by itself.
  await onServer(target, odd, `alter table "new table" add column note text not null default 'x'`);
  const resync = await program.json<Told>('resync', odd);
  expect(resync).toMatchObject({
    code: 0,
    document: { databases: [{ ok: true, copied: [{ schema: 'public', name: 'without us' }], findings: [] }] },
  });
  expect((await program.run('retry', held.id)).code).toBe(0);
  await writers.onTarget(3);
  const journal = await writers.stop();
  // What was accepted is missing; the proof is about the rest.
  await onServer(source, 'library', 'begin read write; drop table nobody_misses; commit');
  await scenario.prove(journal);
  expect(await onServer(target, odd, 'select id from "without us"')).toEqual([{ id: 1 }]);
});
