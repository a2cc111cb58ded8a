import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { lookForDrift } from '../drift/look.ts';
import { endRehearsal } from '../rehearsal/hold-target.ts';
import { lastWords } from './apply-errors.ts';
import { refuseWithoutSlot } from './lost-slot.ts';
import { pairOf } from './pair.ts';

const LOOK_FIRST_MS = 50;
const LOOK_MOST_MS = 1_000;
/** The target tries again and again to apply a transaction that fails: after so many times in a row it will not heal by itself. */
const FAILURES = 3;
/** A worker that is down for so long is woken, which takes as long again if it fails at once, milliseconds. */
const DOWN_MS = 2_000;

interface State {
  /** Tables that do not stream yet. */
  readonly tables: number;
  readonly running: boolean;
  readonly lagBytes: number;
  readonly caughtUp: boolean;
  readonly confirmsAtOnce: boolean;
  readonly opened: boolean;
  /** How often the target has failed to apply so far; undefined before 15, which does not count it. */
  readonly errors: number | undefined;
}

/**
 * Before the fence, so that the write outage is short: every table streams, and the target is at most so far behind. What it
 * applies from then on it confirms at once.
 * @see https://www.postgresql.org/docs/current/sql-altersubscription.html
 */
export const awaitCatchUp = defineOperation({
  name: 'await-catch-up',
  title: 'The target has caught up',
  scope: 'database',
  input: z.strictObject({ bytes: z.int().min(0).default(1_048_576) }),
  output: z.strictObject({
    withinBytes: z.int(),
    /** Applications use the database on the target already. */
    opened: z.boolean(),
  }),

  async check(context) {
    const state = await look(context);
    return state.caughtUp && state.confirmsAtOnce
      ? holds({ withinBytes: context.input.bytes, opened: state.opened })
      : lacks([state]);
  },

  async apply(context) {
    const { engine, settings, signal, progress, source, input } = context;
    const deadline = Date.now() + settings.deadlines.catchUp;
    await refuseWithoutSlot(context);
    // A rehearsal that nobody has ended, e.g. because the queue was lost, holds the target still.
    if (await endRehearsal(context)) context.log.warn('a rehearsal that was left is put back');
    if (!(await engine.subscription(pairOf(context))).running) await engine.wake?.(pairOf(context));
    let pause = LOOK_FIRST_MS;
    let most = 0;
    let failing = { lagBytes: Infinity, errors: 0 };
    let down = { since: Infinity, times: 0 };
    for (;;) {
      signal.throwIfAborted();
      const state = await look(context);
      if (state.caughtUp) break;
      most = Math.max(most, state.lagBytes);
      down = state.running ? { ...down, since: Infinity } : { ...down, since: Math.min(down.since, Date.now()) };
      // Where nobody counts failures, a worker that is not up again in time has failed once more.
      if (engine.wake && Date.now() - down.since > DOWN_MS) {
        down = { since: Infinity, times: down.times + 1 };
        await engine.wake(pairOf(context));
      }
      const errors = state.errors ?? down.times;
      // Whatever arrives in between shows that it goes on; new WAL alone makes the lag grow.
      if (state.lagBytes < failing.lagBytes) failing = { lagBytes: state.lagBytes, errors };
      if (errors - failing.errors >= FAILURES) throw await doesNotApply(context, FAILURES);
      progress({ done: most - state.lagBytes, total: most, unit: 'bytes', note: describe(state) });
      if (Date.now() > deadline) {
        await refuseWithoutSlot(context);
        const drift = state.running ? undefined : await drifted(context);
        const words = state.running ? undefined : await lastWords(context);
        throw new DeadlineExceeded(
          `${context.target.side}, database "${source.name}": not caught up within ${settings.deadlines.catchUp} ms (to ${input.bytes} bytes): ${describe(state)}${drift ? `; ${drift.message}` : ''}${words?.said ?? ''}`,
          {
            hint: state.running
              ? `Wait for a quieter time or end long transactions on the ${source.side}, then retry the step.`
              : (drift?.hint ??
                (words?.said
                  ? "The subscription's worker does not stay up. Mend what it has said, then retry the step."
                  : `The subscription's worker does not stay up: the reason is in the ${context.target.side} server's log${words?.unread ?? ''}. Mend it, then retry the step.`)),
          },
        );
      }
      await sleep(pause, undefined, { signal });
      pause = Math.min(LOOK_MOST_MS, pause * 1.5);
    }
    await engine.confirmAtOnce(pairOf(context));
  },
});

/** Once the database is open on the target, there is nothing to catch up with. */
async function look(context: OperationContext<{ readonly bytes: number }>): Promise<State> {
  const pair = pairOf(context);
  const [subscription, slot] = await Promise.all([context.engine.subscription(pair), context.engine.slot(pair)]);
  const { running, confirmsAtOnce, errors } = subscription;
  const tables = subscription.tables.filter(({ state }) => state !== 'streaming').length;
  const usable = running && slot.exists && slot.lost === undefined;
  const caughtUp = usable && tables === 0 && slot.lagBytes <= context.input.bytes;
  if (!caughtUp && (await openedDatabase(context))) {
    return { tables: 0, running, lagBytes: 0, caughtUp: true, confirmsAtOnce: true, opened: true, errors };
  }
  return { tables, running, lagBytes: slot.lagBytes, caughtUp, confirmsAtOnce, opened: false, errors };
}

interface Drift {
  readonly message: string;
  readonly hint: string;
}

/** A table that somebody has changed on one side alone is the likeliest reason why rows cannot be applied. */
async function drifted(context: OperationContext): Promise<Drift | undefined> {
  const { findings } = await lookForDrift(context, false).catch(() => ({ findings: [] }));
  const blocking = findings.filter(({ severity }) => severity === 'block');
  const likely = blocking.find(({ message }) => message.startsWith('table ')) ?? blocking[0];
  return likely && { message: likely.message, hint: `${likely.remedy} Then retry the step.` };
}

async function doesNotApply(context: OperationContext, failures: number): Promise<PgconvoyError> {
  const { source, target } = context;
  const drift = await drifted(context);
  const { said, unread } = await lastWords(context);
  return new PgconvoyError(
    `${target.side}, database "${source.name}": the subscription's worker has failed ${failures} times in a row to apply a change, so the ${target.side} cannot catch up${drift ? `; ${drift.message}` : ''}${said}`,
    {
      hint:
        drift?.hint ??
        (said
          ? `Usually an object differs from the ${source.side}, or somebody has written a row on the ${target.side}. Mend it, then retry the step.`
          : `The reason is in the ${target.side} server's log${unread}; look there for \`logical replication\`, or \`pglogical\`: usually an object that differs from the ${source.side}, or a row that somebody has written on the ${target.side}. Mend it, then retry the step.`),
    },
  );
}

function describe({ tables, running, lagBytes }: State): string {
  if (!running) return 'the subscription does not run';
  return tables > 0 ? `${tables} tables do not stream yet` : `${lagBytes} bytes of WAL to go`;
}
