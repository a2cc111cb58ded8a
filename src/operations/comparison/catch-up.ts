import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { walMarker } from '../../postgres/catalog/fence.ts';
import { pairOf } from '../replication/pair.ts';

const LOOK_FIRST_MS = 5;
const LOOK_MOST_MS = 250;
/** A subscription that does not run for so long does not come back by itself. */
const DOWN_MS = 10_000;

const Marked = z.object({ lsn: z.string() });

/**
 * Waits until the target has everything that is on the source now, by a session of its own: those of the job are busy.
 * @throws DeadlineExceeded, PgconvoyError where the subscription does not run
 */
export async function untilCaughtUp(context: OperationContext): Promise<void> {
  const { engine, settings, signal, source, target } = context;
  const pair = pairOf(context);
  const { lsn } = await source.one(Marked, walMarker());
  const began = Date.now();
  let seen = began;
  for (let pause = LOOK_FIRST_MS; !(await engine.reached(pair, lsn)); pause = Math.min(LOOK_MOST_MS, pause * 1.5)) {
    const now = Date.now();
    if (now - seen > DOWN_MS / 2 && (await engine.subscription(pair)).running) seen = now;
    if (now - seen > DOWN_MS) throw notRunning(target);
    if (now - began > settings.deadlines.catchUp) {
      throw new DeadlineExceeded(
        `${target.side}, database "${target.name}": it has not got everything up to ${lsn} within ${settings.deadlines.catchUp} ms, so rows cannot be compared`,
        { hint: 'Wait until it has caught up (pgconvoy status), then retry the step.', disposition: 'wait' },
      );
    }
    await sleep(pause, undefined, { signal });
  }
}

export const notRunning = ({ side, name }: OperationContext['target']): PgconvoyError =>
  new PgconvoyError(`${side}, database "${name}": its subscription does not run, so rows on their way never come`, {
    hint: `See pgconvoy status, and the log of the ${side} server for the reason. Then retry the step.`,
  });
