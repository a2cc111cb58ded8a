import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../../config/environment.ts';
import { ConfigError, PgconvoyError } from '../../errors.ts';
import { connect } from '../../queue/connection.ts';
import type { QueueConfig } from '../../queue/store.ts';
import { readIdentity, writeIdentity } from './pid-file.ts';
import type { Place } from './place.ts';
import { isRunning } from './process-identity.ts';

const START_MS = 60_000;
const STOP_MS = 60_000;

const pidFile = (place: Place): string => join(place.folder, 'redis.pid');
const logFile = (place: Place): string => join(place.folder, 'redis.log');

const isRedisRunning = (place: Place): boolean => {
  const identity = readIdentity(pidFile(place));
  return identity !== undefined && isRunning(identity);
};

/**
 * The program: PGCONVOY_REDIS_SERVER, else redis-server or valkey-server in PATH.
 * @throws ConfigError that says how to get one, or how to do without.
 */
function findRedisServer(env: Environment): string {
  const named = env['PGCONVOY_REDIS_SERVER'];
  const inPath = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const candidates = named
    ? [named]
    : ['redis-server', 'valkey-server'].flatMap((name) => inPath.map((folder) => join(folder, name)));
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new ConfigError(
    named
      ? `PGCONVOY_REDIS_SERVER names no program: ${named}`
      : 'no queue is configured, and there is no redis-server on this machine',
    {
      hint: 'Install one (apt-get install redis-server, dnf install redis, brew install redis), or name a Redis server by queue.url or --queue redis://HOST:6379',
    },
  );
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts it detached where it does not run yet, and waits until it answers. Call under the lock of the place. */
export async function startRedis(place: Place, queue: QueueConfig, env: Environment): Promise<void> {
  if (isRedisRunning(place)) return;
  const program = findRedisServer(env);
  // A server that was killed leaves its socket, and the next one does not replace what it cannot be sure of.
  rmSync(place.socket, { force: true });
  const options: Readonly<Record<string, string>> = {
    port: '0',
    unixsocket: place.socket,
    unixsocketperm: '700',
    dir: place.folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
  };
  const log = openSync(logFile(place), 'a', 0o600);
  try {
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(program, args, {
      cwd: place.folder,
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: env['PATH'], HOME: place.folder, LC_ALL: 'C' },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    writeIdentity(pidFile(place), child.pid!);
    child.unref();
  } finally {
    closeSync(log);
  }
  await untilItAnswers(place, queue);
}

/** A large append-only file takes its time to load. */
async function untilItAnswers(place: Place, queue: QueueConfig): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    if (!isRedisRunning(place)) throw failed(place, 'ended at once');
    if (existsSync(place.socket)) {
      try {
        const store = await connect(queue, 'command');
        await store.close();
        return;
      } catch (error) {
        if (Date.now() > deadline) throw failed(place, `does not answer (${(error as Error).message})`);
      }
    } else if (Date.now() > deadline) throw failed(place, 'makes no socket');
    await sleep(20);
  }
}

function failed(place: Place, what: string): PgconvoyError {
  const lines = existsSync(logFile(place))
    ? readFileSync(logFile(place), 'utf8').trimEnd().split('\n').slice(-5).join('\n')
    : '';
  return new PgconvoyError(`the private redis-server ${what}:\n${lines}`, {
    hint: `See ${logFile(place)}; the state is in ${place.folder}.`,
  });
}

/** Writes everything to disk and ends. Call under the lock of the place. */
export async function stopRedis(place: Place): Promise<void> {
  const identity = readIdentity(pidFile(place));
  if (!identity || !isRunning(identity)) return;
  // SIGTERM is SHUTDOWN: it flushes the append-only file first.
  process.kill(identity.pid, 'SIGTERM');
  const deadline = Date.now() + STOP_MS;
  while (isRunning(identity)) {
    if (Date.now() > deadline) throw failed(place, `does not stop (pid ${identity.pid})`);
    await sleep(20);
  }
  rmSync(pidFile(place), { force: true });
}
