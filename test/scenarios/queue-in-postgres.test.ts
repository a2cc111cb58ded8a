/** An upgrade without any Redis: the jobs are on a third PostgreSQL server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { expect, test } from 'vitest';
import { builtProgram } from '../helpers/program.ts';
import { recordServer, runFolder } from '../helpers/run-folder.ts';
import { assertRun, Scenario } from '../helpers/scenario.ts';
import { startCluster } from '../helpers/servers.ts';
import type { ClusterInfo } from '../helpers/servers.ts';

async function ask<R extends pg.QueryResultRow>({ host, port, user, password }: ClusterInfo, text: string) {
  const client = new pg.Client({ host, port, user, password, database: 'postgres' });
  await client.connect();
  try {
    return (await client.query<R>(text)).rows;
  } finally {
    await client.end();
  }
}

const schemasOf = async (cluster: ClusterInfo): Promise<string[]> =>
  (await ask<{ name: string }>(cluster, "select nspname as name from pg_namespace where nspname ~ 'queue'")).map(
    ({ name }) => name,
  );

/** Dies once, at the end of a step of this name, when the queue does not know it yet. */
function mortalWorker(scenario: Scenario, step: string) {
  const { folder } = scenario.program;
  const deaths = join(folder, 'deaths');
  const script = join(import.meta.dirname, '..', 'helpers', 'fragile-worker.ts');
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  writeFileSync(deaths, `${step} middle\n`);
  const start = () => {
    const child = spawn(
      process.execPath,
      ['--import', tsx, script, join(folder, 'pgconvoy.yaml'), deaths, `^${step}$`],
      { stdio: 'ignore' },
    );
    recordServer(child.pid!, 'SIGKILL');
    return { gone: once(child, 'exit'), kill: () => child.kill('SIGKILL') };
  };
  return start;
}

async function boardOf(folder: string) {
  const child = spawn(process.execPath, [await builtProgram(), 'board', '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  recordServer(child.pid!, 'SIGKILL');
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.endsWith('}\n')) break;
  }
  return { child, url: (JSON.parse(said) as { board: string }).board };
}

test(
  'no Redis: 3 databases, the queue on a server of 13, its worker killed in the middle; every command works, and nothing of it is left',
  { timeout: 400_000 },
  async () => {
    await using queue = await startCluster({ major: 13, name: 'queue' });
    const passwordFile = join(runFolder(), 'queue-password');
    writeFileSync(passwordFile, `${queue.password}\n`, { mode: 0o600 });
    const url = `postgres://${queue.user}@${queue.host}:${queue.port}/postgres?sslmode=disable`;
    await using scenario = await Scenario.open({
      databases: ['testdb', 'shop', 'My "odd" DB'],
      config: { queue: { url, passwordFile }, board: { port: 0 } },
    });
    const { program, source, target } = scenario;

    for (const [side, cluster] of [
      ['source', source],
      ['target', target],
    ] as const) {
      const secret = encodeURIComponent(cluster.password);
      const there = `postgres://${cluster.user}:${secret}@${cluster.host}:${cluster.port}/postgres?sslmode=disable`;
      for (const word of side === 'source' ? ['worker', 'runs'] : ['setup']) {
        const refused = await program.run(word, '--queue', there);
        expect(refused.code).toBe(2);
        expect(refused.stderr + refused.stdout).toContain(`is on the ${side} of the upgrade itself`);
        expect(refused.stderr + refused.stdout).not.toContain(secret);
      }
      expect(await schemasOf(cluster)).toEqual([]);
    }

    const start = mortalWorker(scenario, 'copy-schema');
    const mortal = start();
    await using writers = scenario.startWriters();
    await writers.everywhere();
    const upgrade = scenario.command('upgrade');
    expect(await mortal.gone).toEqual([null, 'SIGKILL']);
    const heir = start();
    const { id } = assertRun(await upgrade, 6, 'waiting-approval');
    heir.kill();
    await heir.gone;

    const worker = await program.startWorker();
    expect((await program.run('cancel', id)).code).toBe(0);
    expect((await program.run('resume', id)).stdout).toContain(`resumed: ${id}`);
    assertRun(await scenario.command('status', id, '--watch'), 6, 'waiting-approval');

    const { child, url: board } = await boardOf(program.folder);
    const queues = await (await fetch(new URL('api/queues?activeQueue=operation&page=1', board))).text();
    expect(queues).toContain('copy-schema');
    const page = await fetch(new URL(`api/queues/run/${id}`, board));
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('waiting-children')]);
    const metrics = await (await fetch(new URL('metrics', board))).text();
    expect(metrics).toContain('pgconvoy_queue_up 1');
    expect(metrics).toContain('pgconvoy_workers 1');
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;

    expect((await program.run('approve', id)).stdout).toContain('approved: ');
    await scenario.follow(id);
    await writers.onTarget(3);
    await scenario.prove(await writers.stop());
    const runs = await program.run('runs');
    expect(runs.stdout).toContain(id);
    expect((await program.run('logs', id)).stdout).toContain('open-target');
    expect((await program.run('retry', id)).code).toBe(0);
    await worker.stop();

    const kept = await ask<{ text: string }>(queue, 'select j::text as text from pgconvoy_queue.job j');
    for (const { password } of [source, target, queue])
      expect(kept.filter(({ text }) => text.includes(password))).toEqual([]);
    await ask(queue, 'drop schema pgconvoy_queue cascade');
    expect(await schemasOf(queue)).toEqual([]);
  },
);
