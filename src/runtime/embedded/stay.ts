import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../../config/environment.ts';
import { loadConfig } from '../../config/load.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { Workers } from '../../queue/workers.ts';
import { EMBEDDED, queueAt, readyFile, underLock, usersOf, workerFile } from './ensure.ts';
import type { EmbeddedNote } from './ensure.ts';
import { readIdentity, writeIdentity } from './pid-file.ts';
import { placeOf } from './place.ts';
import type { Place } from './place.ts';
import { stopRedis } from './redis-server.ts';

const LOOK_MS = 1_000;
/** A private redis-server answers within milliseconds; one that was killed never does, and then there is nothing to do either. */
const ANSWER_MS = 5_000;

/** The worker that a command has started on this machine, as it sees itself. */
export interface EmbeddedWorker {
  readonly loaded: LoadedConfig;
  /**
   * Works until there was nothing to do and nobody there for a while, or until the signal; then stops the workers, and the
   * redis-server with them unless somebody has come meanwhile. `board`: where this worker serves it.
   */
  stay(workers: Pick<Workers, 'idle' | 'stop'>, signal: AbortSignal, board?: string): Promise<void>;
}

/** Whether this process is such a worker, and of which configuration: a variable tells it. */
export function embeddedWorker(env: Environment): EmbeddedWorker | undefined {
  const text = env[EMBEDDED];
  if (text === undefined) return undefined;
  const note = JSON.parse(text) as EmbeddedNote;
  const own = loadConfig({ path: note.path, flags: note.flags, configPassword: note.configPassword, env });
  const place = placeOf(own, env);
  return {
    loaded: { ...own, config: { ...own.config, queue: queueAt(place, own) } },
    async stay(workers, signal, board) {
      writeIdentity(readyFile(place), process.pid, board);
      while (!signal.aborted) {
        await untilIdle(place, note.idleMs, workers, signal);
        if (!signal.aborted && (await underLock(place, () => leave(place, workers)))) return;
      }
      await workers.stop();
      // Whoever holds the lock now has probably sent the signal and waits for our end: then the redis-server is theirs.
      await underLock(place, () => clearAway(place), 0).catch(() => {});
    },
  };
}

async function untilIdle(
  place: Place,
  idleMs: number,
  workers: Pick<Workers, 'idle'>,
  signal: AbortSignal,
): Promise<void> {
  let busyAt = Date.now();
  while (!signal.aborted && Date.now() - busyAt < idleMs) {
    await sleep(Math.min(LOOK_MS, idleMs), undefined, { signal }).catch(() => {});
    if (!(await nothingToDo(place, workers))) busyAt = Date.now();
  }
}

async function nothingToDo(place: Place, workers: Pick<Workers, 'idle'>): Promise<boolean> {
  if (usersOf(place).length > 0) return false;
  return Promise.race([workers.idle().catch(() => true), sleep(ANSWER_MS, true, { ref: false })]);
}

/** Under the lock nobody can come any more who would rely on this worker. */
async function leave(place: Place, workers: Pick<Workers, 'idle' | 'stop'>): Promise<boolean> {
  if (!(await nothingToDo(place, workers))) return false;
  await workers.stop();
  await clearAway(place);
  return true;
}

async function clearAway(place: Place): Promise<void> {
  if (readIdentity(workerFile(place))?.pid !== process.pid) return;
  rmSync(workerFile(place), { force: true });
  rmSync(readyFile(place), { force: true });
  if (usersOf(place).length === 0) await stopRedis(place);
}
