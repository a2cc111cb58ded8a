/**
 * The classic by which pgrepup was introduced, step by step: two majors, pglogical, a database `testdb` with `animal`, which has a
 * primary key, and `fish`, which has none.
 */
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Finding } from '../../src/engine/finding.ts';
import { onServer } from '../helpers/pair.ts';
import { assertRun, Scenario } from '../helpers/scenario.ts';
import { eventually } from '../helpers/wait.ts';
import { pictureCatalog, pictureDifferences, remainsOf } from '../helpers/workload/catalog.ts';

interface Document {
  readonly findings?: readonly Finding[];
  readonly replication?: {
    readonly databases: readonly { readonly database: string; readonly state: string; readonly lagBytes?: number }[];
  };
}

test('animal and fish: check is KO twice, fix, check is OK, the mouse arrives, and the sequence is exact', async () => {
  await using scenario = await Scenario.open({ source: 13, target: 18, engine: 'pglogical', databases: ['testdb'] });
  const { source, target, program } = scenario;
  const worker = await program.startWorker();
  const rules = join(source.dataFolder, 'pg_hba.conf');
  // Nobody but the administrator may come, so far.
  writeFileSync(rules, 'local all all scram-sha-256\nhost all postgres 127.0.0.1/32 scram-sha-256\n');
  await onServer(source, 'postgres', 'select pg_reload_conf()');
  const before = await pictureCatalog(source);
  const check = async () => {
    const { code, document } = await program.json<Document>('check', '--no-canary');
    return { code, findings: document.findings ?? [] };
  };

  const first = await check();
  expect(first.code).toBe(3);
  expect(first.findings.map(({ code, object }) => `${code} ${object}`).toSorted()).toEqual([
    'no-replica-identity public.fish',
    'pg-hba pg_hba.conf',
  ]);
  const { remedy: hint } = first.findings.find(({ code }) => code === 'no-replica-identity')!;
  expect(hint).toContain('pgconvoy fix');
  const { remedy: lines } = first.findings.find(({ code }) => code === 'pg-hba')!;

  // What was said is done, word for word.
  const missing = lines.split('\n').filter((line) => line.startsWith('host '));
  expect(missing).toHaveLength(2);
  appendFileSync(rules, `${missing.join('\n')}\n`);
  await onServer(source, 'postgres', 'select pg_reload_conf()');
  await scenario.complete('fix', '--yes');
  expect(await check()).toEqual({ code: 0, findings: [] });

  await scenario.complete('setup');
  await scenario.complete('start');
  await eventually(async () => {
    const { document } = await program.json<Document>('status');
    expect(document.replication?.databases).toMatchObject([
      { database: 'testdb', state: 'replicating', lagBytes: expect.any(Number) },
    ]);
  });
  await onServer(
    source,
    'testdb',
    `insert into animal (name) values ('mouse'); insert into fish (name) values ('eel')`,
  );
  const arrived = `select (select count(*)::int from animal where name = 'mouse') as mouse, (select count(*)::int from fish where name = 'eel') as eel`;
  await eventually(async () => expect(await onServer(target, 'testdb', arrived)).toEqual([{ mouse: 1, eel: 1 }]));

  assertRun(await scenario.command('stop', '--yes'), 0, 'completed');
  const sequence = 'select last_value::int, is_called from animal_id_seq';
  const [exact] = await onServer(source, 'testdb', sequence);
  expect(exact).toEqual({ last_value: 2001, is_called: true });
  expect(await onServer(target, 'testdb', sequence)).toEqual([exact]);

  await scenario.complete('uninstall', '--open-source');
  await worker.stop();
  const after = await pictureCatalog(source);
  expect(pictureDifferences(before, after)).toEqual([]);
  expect(await remainsOf(source, after)).toEqual([]);
  expect(await remainsOf(target, await pictureCatalog(target))).toEqual([]);
});
