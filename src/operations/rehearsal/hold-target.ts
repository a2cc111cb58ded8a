import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { haveArrived } from '../cutover/await-these.ts';
import { markWal } from '../cutover/fence.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { heldKey, heldTarget } from '../cutover/rehearsal.ts';
import type { HeldNote } from '../cutover/rehearsal.ts';
import { refuseWithoutSlot } from '../replication/lost-slot.ts';
import { pairOf } from '../replication/pair.ts';
import { PUT_BACK } from './put-back.ts';

const LOOK_FIRST_MS = 3;
const LOOK_MOST_MS = 50;
const REST_MS = 5_000;

/**
 * In a rehearsal: the target has everything up to a position of the source, and its subscription is off, so that it stands still as it
 * would behind a fence. The source goes on and is not touched. Undo takes back whatever was rehearsed, and lets the target stream again.
 * @see https://www.postgresql.org/docs/current/sql-altersubscription.html
 */
export const holdTarget = defineOperation({
  name: 'hold-target',
  title: 'The target stands still, as behind a fence',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Undefined position: applications use the database on the target already, and nothing is rehearsed. */
    lsn: z.string().optional(),
  }),

  async check(context) {
    if (await openedDatabase(context)) return holds({});
    const held = await heldTarget(context);
    return held?.lsn && (await comesToRest(context)) ? holds({ lsn: held.lsn }) : lacks(['the subscription is on']);
  },

  async apply(context) {
    const { engine, targetLedger, target, run } = context;
    const pair = pairOf(context);
    await refuseWithoutSlot(context);
    // Noted first: whoever is killed from here on is put back by this note.
    await targetLedger.replace(heldKey(target.name), { run: run.id, lsn: null } satisfies HeldNote);
    if (!(await engine.subscription(pair)).enabled) await engine.enable(pair);
    const lsn = await markWal(context);
    try {
      await until(context, `has not got everything up to ${lsn}`, () => haveArrived([{ context, lsn }]));
      await engine.disable(pair);
      await until(context, 'still applies rows although its subscription is off', () => isStill(context));
    } catch (error) {
      if (!context.signal.aborted) await letGo(context);
      throw error;
    }
    await targetLedger.replace(heldKey(target.name), { run: run.id, lsn } satisfies HeldNote);
  },

  undo: endRehearsal,
});

/**
 * Where a rehearsal holds the target, everything is taken back that it has done there, and the target streams again.
 * @returns whether there was a rehearsal to end
 */
export async function endRehearsal(context: OperationContext): Promise<boolean> {
  if (!(await heldTarget(context))) return false;
  if (await openedDatabase(context)) {
    await context.targetLedger.forget(heldKey(context.target.name));
    return false;
  }
  for (const operation of PUT_BACK.toReversed()) {
    await operation.undo?.({ ...context, input: operation.input.parse({}) });
  }
  await letGo(context);
  return true;
}

/** The subscription is off, and its worker is gone. */
async function isStill(context: OperationContext): Promise<boolean> {
  const { enabled, running } = await context.engine.subscription(pairOf(context));
  return !enabled && !running;
}

/** A worker that was just being started when the subscription went off sees that, and ends before it applies anything. */
async function comesToRest(context: OperationContext): Promise<boolean> {
  const pair = pairOf(context);
  const most = Date.now() + REST_MS;
  for (;;) {
    const { enabled, running } = await context.engine.subscription(pair);
    if (enabled || !running || Date.now() > most) return !enabled && !running;
    await sleep(LOOK_MOST_MS, undefined, { signal: context.signal });
  }
}

/** Where the database's subscription is gone meanwhile, only the note is left to take back. */
async function letGo(context: OperationContext): Promise<void> {
  const pair = pairOf(context);
  const { exists, enabled } = await context.engine.subscription(pair);
  if (exists && !enabled) await context.engine.enable(pair);
  await context.targetLedger.forget(heldKey(context.target.name));
}

async function until(context: OperationContext, otherwise: string, come: () => Promise<boolean>): Promise<void> {
  const { settings, signal, progress, target } = context;
  const total = settings.deadlines.fence;
  const began = Date.now();
  let pause = LOOK_FIRST_MS;
  while (!(await come())) {
    signal.throwIfAborted();
    const done = Date.now() - began;
    if (done > total) {
      throw new DeadlineExceeded(
        `target, database "${target.name}": after ${total} ms it ${otherwise}. It streams again`,
        {
          hint: "A cutover would fail here, too: see the target server's log, wait for a quieter time or raise deadlines.fence, then retry the step.",
        },
      );
    }
    progress({ done, total, unit: 'milliseconds', note: 'waiting for the target' });
    await sleep(pause, undefined, { signal });
    pause = Math.min(LOOK_MOST_MS, pause * 1.3);
  }
}
