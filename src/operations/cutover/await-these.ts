import { setTimeout as sleep } from 'node:timers/promises';
import { DeadlineExceeded } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { pairOf } from '../replication/pair.ts';
import { databasesNamed } from './agreement.ts';
import { outageMs } from './claim-fence.ts';
import { eachOf } from './each-of.ts';
import { markWal } from './fence.ts';

const LOOK_FIRST_MS = 3;
const LOOK_MOST_MS = 50;
/**
 * A worker that nothing is sent to tells only each wal_receiver_status_interval (10 s) what it has on its disk: PostgreSQL 10 sends nothing
 * of what other databases write. So who is late by then gets something to answer, milliseconds.
 */
const NUDGE_FIRST_MS = 100;
const NUDGE_MS = 1_000;

/** A database whose target shall have everything up to this position of the source's WAL. */
export interface Awaiting {
  readonly context: OperationContext;
  readonly lsn: string;
}

/**
 * Waits until the target has applied and flushed everything up to these positions. The contexts are of one run.
 * @throws DeadlineExceeded that names who is late
 */
export async function awaitThese(all: readonly Awaiting[]): Promise<void> {
  const [first] = all;
  if (!first) return;
  const { settings, signal, progress, targetCluster } = first.context;
  const started = Date.now();
  const most = Math.min(settings.deadlines.fence, outageMs(first.context));
  let pause = LOOK_FIRST_MS;
  let nudge = NUDGE_FIRST_MS;
  for (;;) {
    const late = await notArrived(all);
    const [one] = late;
    if (!one) return;
    signal.throwIfAborted();
    const waited = Date.now() - started;
    progress({ done: waited, total: most, unit: 'milliseconds', note: `waiting for ${one.lsn}` });
    if (waited > most) {
      const names = databasesNamed(late.map(({ context }) => context.source.name));
      throw new DeadlineExceeded(
        `${targetCluster.side}, ${names}: it has not got everything up to ${one.lsn} within ${most} ms`,
        {
          hint: `See the log of the ${targetCluster.side} for "logical replication", or raise deadlines.fence and deadlines.outage; then retry the step, which fences anew.`,
        },
      );
    }
    if (waited >= nudge) {
      await eachOf(
        late.map(({ context }) => context),
        markWal,
      );
      nudge = waited + NUDGE_MS;
    }
    await sleep(pause, undefined, { signal });
    pause = Math.min(LOOK_MOST_MS, pause * 1.3);
  }
}

export const haveArrived = async (all: readonly Awaiting[]): Promise<boolean> => (await notArrived(all)).length === 0;

/** Whose rows are not all applied and flushed on the target. That all tables stream was seen before the fence. */
async function notArrived(all: readonly Awaiting[]): Promise<readonly Awaiting[]> {
  const [first] = all;
  if (!first) return [];
  const { engine } = first.context;
  const late = new Set(await engine.unreached(all.map(({ context, lsn }) => ({ pair: pairOf(context), lsn }))));
  return all.filter(({ context }) => late.has(context.source.name));
}
