/**
 * Real servers for tests, demo and bench: clusters of any major the kit has, and Redis, on loopback and sockets of this
 * run's folder. All of them are stopped when the run ends (see run-folder.ts), also those that nobody stopped.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensurePostgres, ensureRedis, type KitPostgres, type Major } from '../../scripts/kit/kit.ts';
import { withLock } from '../../scripts/kit/lock.ts';
import { runFolder } from './run-folder.ts';
import { freePort, makeServerFolder, ServerProcess, serverUser } from './server-process.ts';

export type { Major };

export type Settings = Readonly<Record<string, string | number | boolean>>;

export interface ClusterOptions {
  readonly major: Major;
  /** For folder names and error messages. */
  readonly name?: string;
  /** postgresql.conf, over the defaults. */
  readonly settings?: Settings;
  readonly password?: string;
  /** Loads the pglogical library, and allows its output plugin. Majors that come from Debian only. */
  readonly pglogical?: boolean;
}

/** How to reach a cluster: plain data. Every way in, the socket as well, asks for the password (scram-sha-256). */
export interface ClusterInfo {
  readonly major: Major;
  /** Exactly, for example "15.20". */
  readonly version: string;
  /** The folder of the server's programs. */
  readonly bin: string;
  /** Whether `bin` has pg_dump, pg_dumpall, pg_restore and psql too. */
  readonly clients: boolean;
  readonly host: '127.0.0.1';
  readonly port: number;
  /** The folder of the unix socket: give it as `host` to connect that way. */
  readonly socketFolder: string;
  /** The superuser. */
  readonly user: string;
  readonly password: string;
  readonly dataFolder: string;
  readonly logFile: string;
}

export interface Cluster extends ClusterInfo, AsyncDisposable {
  /** The postmaster's. */
  readonly pid: number;
  /** The log so far. */
  log(): string;
  /** Adds lines to postgresql.conf; they count after `restart()`. */
  configure(settings: Settings): void;
  /** Starts it again after `shutdown()` or `kill()`, on the same port. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Stops the server and keeps its folder. */
  shutdown(mode?: 'immediate' | 'fast'): Promise<void>;
  /** As a crash of the machine would. */
  kill(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

const run = promisify(execFile);

/** Awkward on purpose: whoever forgets to quote it somewhere fails the tests. */
export const awkwardPassword = `it's a "p%41ss\\word:@/?`;

/**
 * Initialises and starts a cluster of its own (about 0.8 s). There is no template to copy on purpose: copies have the
 * same system identifier, and pgconvoy rightly takes two such clusters for one.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const kit = await ensurePostgres(options.major);
  if (options.pglogical && !kit.pglogical) {
    throw new Error(`There is no pglogical in ${kit.bin}: take one of the majors 13, 15, 17, 18.`);
  }
  const password = options.password ?? awkwardPassword;
  const folder = makeServerFolder(options.name ?? `pg${options.major}`);
  const dataFolder = join(folder, 'data');
  await initialise(kit, folder, dataFolder, password);
  const settings = await initialSettings(kit, folder, options);
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    appendSettings(dataFolder, { ...settings, port });
    const cluster = describeCluster(kit, { folder, dataFolder, port, password });
    try {
      await cluster.start();
      return cluster;
    } catch (error) {
      // Somebody took the port between the look and the start.
      if (attempt === 3 || !cluster.log().includes('Address already in use')) throw error;
    }
  }
}

async function initialise(kit: KitPostgres, folder: string, dataFolder: string, password: string): Promise<void> {
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o644 });
  await run(
    join(kit.bin, 'initdb'),
    ['-D', dataFolder, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'].concat([
      '--locale=C',
      '--no-sync',
    ]),
    {
      ...serverUser,
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, TZ: 'UTC', LC_ALL: 'C' },
    },
  );
  await rm(passwordFile);
}

/** Generous, so that a test meets a limit only when it lowers one. */
async function initialSettings(kit: KitPostgres, socketFolder: string, options: ClusterOptions): Promise<Settings> {
  return {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: socketFolder,
    wal_level: 'logical',
    // The contexts of a file keep their sessions to its end, and two files run at a time.
    max_connections: 400,
    max_wal_senders: 100,
    max_replication_slots: 100,
    max_worker_processes: 120,
    max_logical_replication_workers: 80,
    ...(kit.major >= 18 ? { max_active_replication_origins: 100 } : {}),
    shared_buffers: '64MB',
    fsync: false,
    full_page_writes: false,
    ...(kit.major >= 11 ? { jit: false } : {}),
    timezone: 'UTC',
    log_timezone: 'UTC',
    password_encryption: 'scram-sha-256',
    ...(options.pglogical ? await pglogicalSettings(kit) : {}),
    ...options.settings,
  };
}

async function pglogicalSettings(kit: KitPostgres): Promise<Settings> {
  // Servers patched since August 2026 refuse output plugins that are not listed; older ones do not know the setting.
  const described = await run(join(kit.bin, 'postgres'), ['--describe-config'], serverUser);
  const listed = described.stdout.includes('output_plugin_libraries');
  return {
    shared_preload_libraries: 'pglogical',
    ...(listed ? { output_plugin_libraries: 'pgoutput, test_decoding, pglogical_output' } : {}),
  };
}

function appendSettings(dataFolder: string, settings: Settings): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${settingValue(value)}\n`);
  appendFileSync(join(dataFolder, 'postgresql.conf'), lines.join(''));
}

function settingValue(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return `'${String(value).replaceAll("'", "''")}'`;
}

interface ClusterPlace {
  readonly folder: string;
  readonly dataFolder: string;
  readonly port: number;
  readonly password: string;
}

function describeCluster(kit: KitPostgres, place: ClusterPlace): Cluster {
  const { folder, dataFolder, port, password } = place;
  const logFile = join(folder, 'server.log');
  const server = new ServerProcess({
    label: `PostgreSQL ${kit.version}`,
    program: join(kit.bin, 'postgres'),
    args: ['-D', dataFolder],
    folder,
    logFile,
    endSignal: 'SIGQUIT',
    isReady: () => saysReady(dataFolder, () => server.pid),
  });
  const shutdown = (mode: 'immediate' | 'fast' = 'fast') => server.stop(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
  const stop = async () => {
    await shutdown('immediate');
    await rm(folder, { recursive: true, force: true });
  };
  return {
    major: kit.major,
    version: kit.version,
    bin: kit.bin,
    clients: kit.clients,
    host: '127.0.0.1',
    port,
    socketFolder: folder,
    user: 'postgres',
    password,
    dataFolder,
    logFile,
    get pid() {
      return server.pid;
    },
    log: () => readFileSync(logFile, 'utf8'),
    configure: (settings) => appendSettings(dataFolder, settings),
    start: () => server.start(),
    restart: async () => {
      await shutdown('fast');
      await server.start();
    },
    shutdown,
    kill: () => server.kill(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The postmaster writes its state into the eighth line of its pid file (since 10), so no connection is needed to know. */
function saysReady(dataFolder: string, pid: () => number): boolean {
  const file = join(dataFolder, 'postmaster.pid');
  if (!existsSync(file)) return false;
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines[0] === String(pid()) && lines[7]?.trim() === 'ready';
}

/** A connection URL of the superuser. */
export function clusterUrl(cluster: ClusterInfo, database = 'postgres'): string {
  const words = [cluster.user, cluster.password, database].map(encodeURIComponent);
  return `postgresql://${words[0]}:${words[1]}@${cluster.host}:${cluster.port}/${words[2]}`;
}

export interface RedisOptions {
  readonly name?: string;
  /** Keeps data on disk, every write; on unless said otherwise. */
  readonly aof?: boolean;
  readonly port?: number;
}

export interface RedisInfo {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly socket: string;
  /** For ioredis. */
  readonly url: string;
}

export interface RedisServer extends RedisInfo, AsyncDisposable {
  readonly pid: number;
  readonly folder: string;
  log(): string;
  /** Starts it again after `shutdown()` or `kill()`, on the same port and folder. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Stops the server and keeps its folder. */
  shutdown(): Promise<void>;
  kill(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

/** Starts a redis-server of its own, as BullMQ wants it: AOF and noeviction. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const program = await ensureRedis();
  const folder = makeServerFolder(options.name ?? 'redis');
  const port = options.port ?? (await freePort());
  const socket = join(folder, 'redis.sock');
  const logFile = join(folder, 'server.log');
  const server = new ServerProcess({
    label: 'redis-server',
    program,
    args: redisArguments({ folder, port, socket, aof: options.aof ?? true }),
    folder,
    logFile,
    endSignal: 'SIGTERM',
    isReady: () => answersPing(socket),
  });
  const shutdown = () => server.stop('SIGTERM');
  const stop = async () => {
    await shutdown();
    await rm(folder, { recursive: true, force: true });
  };
  await server.start();
  return {
    host: '127.0.0.1',
    port,
    socket,
    url: `redis://127.0.0.1:${port}`,
    folder,
    get pid() {
      return server.pid;
    },
    log: () => readFileSync(logFile, 'utf8'),
    start: () => server.start(),
    restart: async () => {
      await shutdown();
      await server.start();
    },
    shutdown,
    kill: () => server.kill(),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function redisArguments(place: { folder: string; port: number; socket: string; aof: boolean }): string[] {
  const options: Record<string, string> = {
    bind: '127.0.0.1',
    port: String(place.port),
    unixsocket: place.socket,
    dir: place.folder,
    daemonize: 'no',
    save: '',
    appendonly: place.aof ? 'yes' : 'no',
    appendfsync: 'always',
    'maxmemory-policy': 'noeviction',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

function answersPing(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket, () => connection.write('PING\r\n'));
    const answer = (ready: boolean) => {
      connection.destroy();
      resolve(ready);
    };
    // While it loads its data it says -LOADING.
    connection.once('data', (data) => answer(data.toString().startsWith('+PONG')));
    connection.once('error', () => answer(false));
    connection.once('close', () => resolve(false));
  });
}

/**
 * A cluster of this major that all test files of a run use together; whoever asks first starts it, the run's end stops
 * it. Make databases and roles with names of your own in it, and never stop it or change its settings.
 */
export function sharedCluster(major: Major, options: { readonly pglogical?: boolean } = {}): Promise<ClusterInfo> {
  const name = `shared-${major}${options.pglogical ? '-pglogical' : ''}`;
  return shared(name, () => startCluster({ major, name, pglogical: options.pglogical ?? false }));
}

/** The Redis that all test files of a run use together: give each queue a prefix of its own. */
export function sharedRedis(): Promise<RedisInfo> {
  return shared('shared-redis', async () => {
    const { host, port, socket, url } = await startRedis({ name: 'shared-redis' });
    return { host, port, socket, url };
  });
}

/** Test files run in processes of their own: the first one leaves a note for the others in the run's folder. */
function shared<T>(name: string, start: () => Promise<T>): Promise<T> {
  const note = join(runFolder(), `${name}.json`);
  return withLock(note, async () => {
    if (!existsSync(note)) writeFileSync(note, JSON.stringify(await start()));
    return JSON.parse(readFileSync(note, 'utf8')) as T;
  });
}
