import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext, Progress } from '../../engine/operation.ts';
import type { SubscriptionState, TableName } from '../../replication/engine.ts';
import { tableKey, tablesWithout } from '../../replication/table-names.ts';
import { openedDatabase, refuseWhenOpened } from '../cutover/opened.ts';
import { lastWords } from './apply-errors.ts';
import { copyTrouble } from './copy-trouble.ts';
import { emptyTables } from './empty-tables.ts';
import { refuseWithoutSlot } from './lost-slot.ts';
import { pairOf } from './pair.ts';
import { tableSizes } from './table-sizes.ts';
import type { Sizes } from './table-sizes.ts';

/** Time between two looks, milliseconds: short for small databases, long for those that take hours. */
const LOOK_FIRST_MS = 15;
const LOOK_MOST_MS = 500;
/** Without progress for so long, or after so many failures of workers, the cause is looked for. */
const QUIET_MS = 3_000;
const FAILURES = 3;

/** Of more tables at once, only so many are told one by one. */
const NAMED = 16;

const WORKER_STARTS: Progress = { done: 0, total: 1, note: 'the worker of the subscription starts' };

type Missing = TableName & { readonly state: string };

/**
 * The initial copy, by the subscription's own workers straight from server to server; then every table streams. Tables that hold
 * rows of an earlier copy are emptied first, which nobody may need: setup made this database and it has not been opened.
 * @see https://www.postgresql.org/docs/current/logical-replication-architecture.html#LOGICAL-REPLICATION-SNAPSHOT
 */
export const copyTables = defineOperation({
  name: 'copy-tables',
  title: 'Every table is copied and streams',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: z.strictObject({ tables: z.int() }),

  async check(context) {
    const pair = pairOf(context);
    const published = (await context.engine.publishedTables(pair)) ?? [];
    const subscription = await context.engine.subscription(pair);
    const missing = missingTables(published, subscription);
    const streams = missing.length === 0 && subscription.enabled;
    // After the cutover it no longer has to.
    return streams || (await openedDatabase(context)) ? holds({ tables: published.length }) : lacks(missing);
  },

  async apply(context) {
    const { engine, source } = context;
    const pair = pairOf(context);
    await refuseWhenOpened(context, 'a new copy');
    const subscription = await engine.subscription(pair);
    // A copy that was broken off makes its slot anew when it begins again.
    if (!subscription.broken) await refuseWithoutSlot(context);
    if (!subscription.exists) {
      throw new PgconvoyError(`target, database "${source.name}": there is no subscription to start`, {
        hint: 'Somebody has dropped it: run `pgconvoy start` again.',
      });
    }
    const published = (await engine.publishedTables(pair)) ?? [];
    if (!subscription.enabled || subscription.broken) {
      const states = new Set(['waiting', 'copying']);
      await emptyTables(
        context,
        subscription.tables.filter(({ state }) => states.has(state)),
      );
    }
    if (!subscription.enabled) await engine.enable(pair);
    else if (!subscription.running) await engine.wake?.(pair);
    if (tablesWithout(published, subscription.tables).length > 0) await engine.refresh(pair);
    await untilAllStream(context, published);
  },

  async undo(context: OperationContext) {
    const pair = pairOf(context);
    const { exists, enabled } = await context.engine.subscription(pair);
    if (!exists || !enabled) return false;
    await context.engine.disable(pair);
    return true;
  },
});

function missingTables(published: readonly TableName[], { tables }: SubscriptionState): Missing[] {
  const streaming = tables.filter(({ state }) => state === 'streaming');
  const states = new Map(tables.map((table) => [tableKey(table), table.state]));
  return tablesWithout(published, streaming).map(({ schema, name }) => ({
    schema,
    name,
    state: states.get(tableKey({ schema, name })) ?? 'not subscribed',
  }));
}

async function untilAllStream(context: OperationContext, published: readonly TableName[]): Promise<void> {
  const { engine, settings, signal, progress, log } = context;
  const pair = pairOf(context);
  let sizes: Sizes | undefined;
  let look = LOOK_FIRST_MS;
  let last = { state: '', at: Date.now(), errors: 0, lookedInto: 0 };
  let mayBeginAgain = true;
  for (;;) {
    signal.throwIfAborted();
    const subscription = await engine.subscription(pair);
    if (subscription.broken && mayBeginAgain) {
      log.warn('the copy was broken off: it begins again');
      mayBeginAgain = false;
      await engine.wake?.(pair);
    }
    const missing = missingTables(published, subscription);
    // What came from a snapshot only waits for its worker to be up: there are no bytes to tell of.
    if (missing.length > 0) sizes ??= await tableSizes(context, published);
    const now = sizes ? progressOf(subscription, sizes) : WORKER_STARTS;
    if (missing.length === 0 && subscription.running) {
      if (sizes) progress(now);
      return;
    }
    const state = JSON.stringify(now);
    const errors = subscription.errors ?? 0;
    if (state !== last.state) last = { state, at: Date.now(), errors, lookedInto: Date.now() };
    let { note } = now;
    const quiet = Date.now() - last.at;
    if (Date.now() - last.lookedInto > QUIET_MS || errors - last.errors >= FAILURES) {
      const trouble = await copyTrouble(context, subscription);
      last = { ...last, errors, lookedInto: Date.now() };
      if (trouble) {
        log.warn({ trouble: trouble.message }, 'the copy does not come on');
        note = trouble.message;
      }
      if (trouble?.lasting) throw new PgconvoyError(trouble.message, { hint: trouble.hint });
      if (quiet > settings.deadlines.copyStall) throw await stalled(context, quiet, trouble);
    }
    progress({ ...now, ...(note === undefined ? {} : { note }) });
    await sleep(look, undefined, { signal });
    look = Math.min(LOOK_MOST_MS, look * 1.25);
  }
}

async function stalled(
  context: OperationContext,
  quiet: number,
  trouble: { readonly message: string; readonly hint: string } | undefined,
): Promise<DeadlineExceeded> {
  const words = trouble ? undefined : await lastWords(context);
  return new DeadlineExceeded(
    `database "${context.source.name}": the copy has not come on for ${Math.round(quiet / 1_000)} s${trouble ? `: ${trouble.message}` : ''}${words?.said ?? ''}`,
    {
      hint:
        trouble?.hint ??
        (words?.said
          ? 'Mend what the worker has said, then retry the step.'
          : `The reason is in the logs of both servers: in the target's${words?.unread ?? ''} look for \`logical replication\`, or \`pglogical\`. Then retry the step.`),
    },
  );
}

/** Bytes as the source counts them: a finished table with its size there, one that is being copied with what has arrived. */
function progressOf({ tables }: SubscriptionState, sizes: Sizes): Progress {
  let done = 0;
  let rows = 0;
  for (const table of tables) {
    const size = sizes.of.get(tableKey(table)) ?? { bytes: 0, rows: 0 };
    if (table.state === 'copying') {
      done += Math.min(table.bytes, size.bytes);
      rows += table.rows;
    } else if (table.state !== 'waiting') {
      done += size.bytes;
      rows += size.rows;
    }
  }
  const inCopy = tables
    .filter(({ state }) => state === 'copying')
    .map((table) => ({
      name: `${table.schema}.${table.name}`,
      done: table.bytes,
      total: sizes.of.get(tableKey(table))?.bytes ?? 0,
    }));
  const copying = inCopy.map(({ name }) => name);
  const left = tables.filter(({ state }) => state !== 'streaming').length;
  const named = copying.slice(0, 3).join(', ') + (copying.length > 3 ? ', …' : '');
  return {
    done,
    total: sizes.total,
    unit: 'bytes',
    rows,
    ...(inCopy.length > 0 ? { tables: inCopy.slice(0, NAMED) } : {}),
    note:
      copying.length > 0
        ? `copying ${named}; ${left} of ${tables.length} tables left`
        : `${left} of ${tables.length} tables left`,
  };
}
