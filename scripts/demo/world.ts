/** The two clusters of the demo, the folder in which pgconvoy works, and how all of it ends. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.ts';
import { isRunning, openRunFolder, recordServer } from '../../test/helpers/run-folder.ts';
import type { ProcessIdentity } from '../../test/helpers/run-folder.ts';
import type { EngineName } from '../../src/replication/engine.ts';
import { clusterUrl, startCluster } from '../../test/helpers/servers.ts';
import type { Cluster, ClusterInfo, Major } from '../../test/helpers/servers.ts';
import { eventually } from '../../test/helpers/wait.ts';
import { ensureRedis } from '../kit/kit.ts';
import { line } from './say.ts';

export interface World {
  readonly engine: EngineName;
  readonly source: Cluster;
  readonly target: Cluster;
  /** Holds pgconvoy.yaml, the writers' record, and pgconvoy's state: commands run here. */
  readonly folder: string;
  /** For pgconvoy's commands. */
  readonly env: Readonly<Record<string, string>>;
}

/** Starts both clusters; from here on everything ends with this process, however it ends. */
export async function openWorld(engine: EngineName): Promise<World> {
  // Registered before the run's own handlers, which stop what is recorded.
  let state: string | undefined;
  const onEnd = (event: string | number) => {
    if (typeof event === 'string') line('\nstopping the servers, removing everything …');
    if (state !== undefined) recordPrivateQueue(state);
  };
  for (const event of ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(event, onEnd);
  const folder = join(openRunFolder(), 'demo');
  mkdirSync(folder);
  state = join(folder, 'state');
  const password = randomBytes(9).toString('base64url');
  const [source, target] = await Promise.all([
    startCluster({ major: majorsOf(engine)[0], name: 'source', password, pglogical: engine === 'pglogical' }),
    startCluster({ major: majorsOf(engine)[1], name: 'target', password, pglogical: engine === 'pglogical' }),
  ]);
  writeFileSync(join(folder, 'pgconvoy.yaml'), stringify(configOf(source, target, engine)), { mode: 0o600 });
  return { engine, source, target, folder, env: { PGCONVOY_REDIS_SERVER: await ensureRedis() } };
}

/** Of the source and the target. pglogical of 15 and 17 makes DROP DATABASE hang, which the canary needs. */
export const majorsOf = (engine: EngineName): readonly [Major, Major] => (engine === 'native' ? [15, 18] : [13, 18]);

function configOf(source: ClusterInfo, target: ClusterInfo, engine: EngineName): ConfigInput {
  const server = ({ host, port, user, password }: ClusterInfo) => ({
    host,
    port,
    user,
    password,
    sslmode: 'disable' as const,
  });
  return {
    source: server(source),
    target: server(target),
    state: './state',
    // pglogical does without the whole row as identity.
    ...(engine === 'native' ? {} : { engine, fix: { default: 'surrogate-key' as const } }),
    ...(target.clients ? { tools: { bin: target.bin } } : {}),
  };
}

/** pgconvoy's private redis-server and worker outlive its commands: they are stopped with the servers. */
function recordPrivateQueue(state: string): void {
  for (const { pid } of privateProcesses(state, ['worker.pid', 'redis.pid'])) recordServer(pid, 'SIGKILL');
}

/** The private worker would end by itself after a minute without work; so long nobody wants to wait. It takes its Redis with it. */
export async function endPrivateQueue(world: World): Promise<void> {
  for (const worker of privateProcesses(join(world.folder, 'state'), ['worker.pid'])) {
    process.kill(worker.pid, 'SIGTERM');
    await eventually(
      () => {
        if (isRunning(worker)) throw new Error('the private worker is still there');
      },
      { timeoutMs: 20_000 },
    );
  }
}

function privateProcesses(state: string, names: readonly string[]): ProcessIdentity[] {
  if (!existsSync(state)) return [];
  const files = readdirSync(state).flatMap((place) => names.map((name) => join(state, place, name)));
  return files.filter(existsSync).flatMap((file) => {
    const [pid = '', startTime = ''] = (readFileSync(file, 'utf8').split('\n')[0] ?? '').split('-');
    const identity = { pid: Number(pid), startTime };
    return isRunning(identity) ? [identity] : [];
  });
}

/** Megabytes of all databases. */
export async function sizeOf(cluster: ClusterInfo): Promise<number> {
  const { stdout } = await promisify(execFile)('du', ['-sm', join(cluster.dataFolder, 'base')]);
  return Number.parseInt(stdout, 10);
}

/** Says how to look at both clusters, and waits for Ctrl-C. */
export async function keepUp(world: World, program: string): Promise<never> {
  const psql = world.target.clients ? join(world.target.bin, 'psql') : 'psql';
  line(`source (${world.source.version}): ${psql} '${clusterUrl(world.source, 'testdb')}'`);
  line(`target (${world.target.version}): ${psql} '${clusterUrl(world.target, 'testdb')}'`);
  line(`pgconvoy: cd ${world.folder} && node ${program} runs`);
  line('');
  line('Both stay up as long as this command runs. Ctrl-C stops them and removes everything.');
  return await new Promise<never>(() => {
    // A promise alone does not keep a process alive.
    setInterval(() => {}, 60_000);
  });
}
