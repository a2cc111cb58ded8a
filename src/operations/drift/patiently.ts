import { setTimeout as sleep } from 'node:timers/promises';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { DatabaseError } from '../../postgres/errors.ts';

/** Time between two attempts to get the locks, milliseconds. */
const PAUSE_FIRST_MS = 250;
const PAUSE_MOST_MS = 5_000;
const DEADLOCK = '40P01';

/**
 * Tries again what waits for somebody (a lock that was not had in time, a target that is behind) until the deadline for locks: each
 * attempt is short, so that nobody queues behind it, and there is no queue here that would do it.
 */
export async function patiently<T>(context: OperationContext, body: () => Promise<T>): Promise<T> {
  const { signal, settings, progress } = context;
  const deadline = Date.now() + settings.deadlines.lock;
  for (let pause = PAUSE_FIRST_MS; ; pause = Math.min(PAUSE_MOST_MS, pause * 2)) {
    try {
      return await body();
    } catch (error) {
      if (!(error instanceof PgconvoyError)) throw error;
      const waits = error.disposition === 'wait' || (error instanceof DatabaseError && error.sqlstate === DEADLOCK);
      if (!waits || Date.now() + pause > deadline) throw error;
      progress({ done: 0, total: 1, note: error.message });
    }
    await sleep(pause * (0.5 + Math.random()), undefined, { signal });
  }
}
