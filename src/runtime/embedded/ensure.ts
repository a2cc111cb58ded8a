import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../../config/environment.ts';
import type { ConfigFlags, LoadedConfig } from '../../config/load.ts';
import { PgconvoyError } from '../../errors.ts';
import type { QueueConfig } from '../../queue/store.ts';
import { withFileLock } from './file-lock.ts';
import { readIdentity, writeIdentity } from './pid-file.ts';
import { placeOf } from './place.ts';
import type { Place } from './place.ts';
import { identityOf, isRunning, nameOf, parseIdentity } from './process-identity.ts';
import { startRedis, stopRedis } from './redis-server.ts';

/** The variable by which a worker of our own learns what it belongs to; a variable, because there are passwords in it. */
export const EMBEDDED = 'PGCONVOY_EMBEDDED';

/** What stands in that variable. */
export interface EmbeddedNote {
  readonly path: string | undefined;
  readonly flags: ConfigFlags;
  /** Of an encrypted configuration; it may have been typed, and nobody is there to ask a worker. */
  readonly configPassword: string | undefined;
  readonly idleMs: number;
}

export interface EmbeddedOptions {
  /** Commands that only read need no worker. */
  readonly worker: boolean;
  readonly env: Environment;
  /** How long a worker without anything to do stays; a minute unless said otherwise. */
  readonly idleMs?: number;
  /** Arguments of node before the worker's file (the loader of TypeScript, in development); as this process unless said otherwise. */
  readonly nodeArguments?: readonly string[];
}

export interface Embedded {
  /** What takes the place of the configuration's queue. */
  readonly queue: QueueConfig;
  /** State and logs. */
  readonly folder: string;
  /** Where the worker serves the board; undefined where there is no worker, or none that does. */
  readonly board: string | undefined;
  /** This process needs it no longer; where no worker is there to do it later, it is all stopped. */
  close(): Promise<void>;
}

const LOCK_PATIENCE_MS = 90_000;
/** A machine that is busy with other work needs long to start a program. */
const WORKER_START_MS = 90_000;

/** Whether the configuration names a queue; else there is the private one of this machine. */
export const namesQueue = ({ config: { queue } }: Pick<LoadedConfig, 'config'>): boolean =>
  queue.url !== undefined || queue.sentinels !== undefined || queue.clusterNodes !== undefined;

export const queueAt = (place: Place, { config: { queue } }: Pick<LoadedConfig, 'config'>): QueueConfig => ({
  ...queue,
  url: `unix://${place.socket.split('/').map(encodeURIComponent).join('/')}`,
});

/**
 * With no queue configured: a private redis-server in the state folder, reached by a unix socket, and a worker of the same
 * configuration, both detached, so that they outlive this command. Commands that are started at the same time share them. Close it when
 * the command ends.
 * @throws ConfigError when there is no redis-server; PgconvoyError when one of the two does not start
 */
export async function ensureEmbedded(loaded: LoadedConfig, options: EmbeddedOptions): Promise<Embedded> {
  const place = placeOf(loaded, options.env);
  const queue = queueAt(place, loaded);
  const user = join(place.folder, 'users', nameOf(identityOf(process.pid)));
  await underLock(place, async () => {
    await startRedis(place, queue, options.env);
    writeIdentity(user, process.pid);
    if (options.worker) await startWorker(place, loaded, options);
  });
  return {
    queue,
    folder: place.folder,
    board: boardOf(place),
    async close() {
      rmSync(user, { force: true });
      await underLock(place, async () => {
        if (!isWorkerRunning(place) && usersOf(place).length === 0) await stopRedis(place);
      });
    },
  };
}

export const underLock = <T>(place: Place, body: () => Promise<T>, patienceMs = LOCK_PATIENCE_MS): Promise<T> =>
  withFileLock(join(place.folder, 'lock'), patienceMs, body);

export const workerFile = (place: Place): string => join(place.folder, 'worker.pid');
/** The worker writes it when it listens, and notes where its board is. */
export const readyFile = (place: Place): string => join(place.folder, 'worker.ready');
const workerLog = (place: Place): string => join(place.folder, 'worker.log');

const isWorkerRunning = (place: Place): boolean => {
  const identity = readIdentity(workerFile(place));
  return identity !== undefined && isRunning(identity);
};

function boardOf(place: Place): string | undefined {
  const ready = readIdentity(readyFile(place));
  return ready && ready.note !== '' && isRunning(ready) ? ready.note : undefined;
}

/** Commands that use this place now. What a killed one has left is cleared away. */
export function usersOf(place: Place): string[] {
  const folder = join(place.folder, 'users');
  return readdirSync(folder).filter((name) => {
    const identity = parseIdentity(name);
    if (identity && isRunning(identity)) return true;
    rmSync(join(folder, name), { force: true });
    return false;
  });
}

/** The worker of an older configuration hands its work over to one of this configuration. */
async function startWorker(place: Place, loaded: LoadedConfig, options: EmbeddedOptions): Promise<void> {
  const fingerprint = fingerprintOf(loaded);
  const running = readIdentity(workerFile(place));
  if (running && isRunning(running)) {
    if (running.note === fingerprint) return;
    process.kill(running.pid, 'SIGTERM');
    const deadline = Date.now() + WORKER_START_MS;
    while (isRunning(running) && Date.now() < deadline) await sleep(30);
  }
  const note: EmbeddedNote = {
    path: loaded.file,
    flags: loaded.flags,
    configPassword: loaded.configPassword,
    idleMs: options.idleMs ?? 60_000,
  };
  const log = openSync(workerLog(place), 'a', 0o600);
  try {
    const args = [...(options.nodeArguments ?? process.execArgv), workerEntry()];
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...options.env, [EMBEDDED]: JSON.stringify(note) },
    });
    child.unref();
    writeIdentity(workerFile(place), child.pid!, fingerprint);
  } finally {
    closeSync(log);
  }
  await untilReady(place);
}

/** A worker that cannot even start is better told by this command than by a log. */
async function untilReady(place: Place): Promise<void> {
  const deadline = Date.now() + WORKER_START_MS;
  const worker = readIdentity(workerFile(place));
  while (readIdentity(readyFile(place))?.pid !== worker?.pid) {
    const ended = !isWorkerRunning(place);
    if (ended || Date.now() > deadline) {
      const lines = readFileSync(workerLog(place), 'utf8').trimEnd().split('\n').slice(-5).join('\n');
      throw new PgconvoyError(
        `the worker of this machine ${ended ? 'ended at once' : 'does not get ready'}:\n${lines}`,
        {
          hint: ended
            ? `See ${workerLog(place)}; mend what it names, then run the command again.`
            : `See ${workerLog(place)}. Where this machine is busy, run the command again: nothing was begun yet.`,
        },
      );
    }
    await sleep(30);
  }
}

/** Above this file, at different depths: in the sources and in what is built from them. */
function workerEntry(folder = dirname(fileURLToPath(import.meta.url))): string {
  const file = join(folder, 'workers', `worker${extname(import.meta.url)}`);
  return existsSync(file) ? file : workerEntry(dirname(folder));
}

/** Which databases take part is up to each run, not to the worker. */
function fingerprintOf({ config, addresses }: LoadedConfig): string {
  const { databases: _, ...rest } = config;
  return createHash('sha256')
    .update(JSON.stringify([workerEntry(), rest, addresses]))
    .digest('hex');
}
