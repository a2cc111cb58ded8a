import type { SlotLag, WorkerUse } from '../../postgres/catalog/replication-lag.ts';
import type { Side } from '../../postgres/cluster.ts';
import type { SubscriptionOverview } from '../../replication/engine.ts';
import type { TableCounts } from '../../replication/table-counts.ts';
import type { Failure } from '../../operations/replication/apply-errors.ts';
import type { DatabaseSetup, DatabaseStatus } from './types.ts';

/** What both clusters say of one database; a side that cannot be asked says nothing. */
export interface Seen {
  readonly database: string;
  readonly setup: DatabaseSetup;
  readonly slot: SlotLag | undefined;
  readonly lagSeconds: number | undefined;
  readonly subscription: SubscriptionOverview | undefined;
  readonly tables: TableCounts | undefined;
  /** Of the target's logical replication workers; undefined where the engine has others. */
  readonly workers: WorkerUse | undefined;
  /** A run is copying it right now: then the subscription may still be to come. */
  readonly inCopy: boolean;
  /** Which sides have answered. */
  readonly known: { readonly source: boolean; readonly target: boolean };
  /** Why the watchdog has given it up, or its way back. */
  readonly givenUp?: string | undefined;
  /** What the worker that applies has said last, where somebody has looked. */
  readonly failure?: Failure | undefined;
}

/** Its worker should run and read, and does not: the log of the server that applies may tell why. */
export const mayFail = ({ subscription, slot }: Seen): boolean =>
  subscription?.enabled === true && (!subscription.applying || (slot !== undefined && !slot.active));

/** Where a database stands, and why where that is not as it should be. Pure. */
export function judge(seen: Seen): DatabaseStatus {
  const { database, setup, slot, lagSeconds, tables, subscription } = seen;
  return {
    database,
    ...stateOf(seen),
    setup,
    ...(tables ? { tables } : {}),
    ...(slot
      ? {
          lagBytes: lagBytes(slot),
          ...(lagSeconds === undefined ? {} : { lagSeconds }),
          slot: {
            active: slot.active,
            retainedBytes: slot.retainedBytes,
            confirmedTo: slot.confirmedTo,
            ...(slot.walStatus === null ? {} : { walStatus: slot.walStatus }),
            ...(slot.safeBytes === null ? {} : { safeBytes: slot.safeBytes }),
          },
        }
      : {}),
    ...(subscription?.errors ? { errors: subscription.errors } : {}),
    ...(seen.failure ? { failure: seen.failure } : {}),
  };
}

const lagBytes = ({ writtenTo, confirmedTo }: SlotLag): number => Math.max(0, writtenTo - confirmedTo);

/**
 * How old, at most, the oldest change is that the target has not confirmed. Nothing unconfirmed: 0. Else the longer of two: how late the
 * last confirmation was (the WAL sender measures it), and how long ago the reader was last heard of, since a large transaction
 * that is being decoded or applied leaves the first one at 0. What was all confirmed `elapsed` seconds later is not older than that.
 * @param later the same slot, looked at again
 */
export function secondsBehind(
  slot: SlotLag,
  later?: { readonly slot: SlotLag; readonly elapsed: number },
): number | undefined {
  if (lagBytes(slot) === 0) return 0;
  if (later && later.slot.confirmedTo >= slot.writtenTo) return later.elapsed;
  const known = [slot.flushLagSeconds, slot.silentSeconds].filter((seconds) => seconds !== null);
  return known.length === 0 ? undefined : Math.max(0, ...known);
}

type Verdict = Pick<DatabaseStatus, 'state' | 'reason'>;

const down = (reason: string): Verdict => ({ state: 'down', reason });

function stateOf(seen: Seen): Verdict {
  const { setup, slot, subscription, known } = seen;
  if (setup.target.opened) return { state: 'switched-over', ...wayBack(seen) };
  if (!slot && seen.givenUp !== undefined) return down(`${seen.givenUp}: only a new copy helps (\`pgconvoy start\`)`);
  if (!slot && !subscription) return known.source || known.target ? before(setup) : down('neither side can be asked');
  if (!known.target) {
    if (slot?.active) return { state: 'replicating' };
    return down('the target cannot be asked, and does not read the slot');
  }
  if (!subscription && seen.inCopy) return { state: 'initializing' };
  if (!subscription)
    return { state: 'missing', reason: 'the slot makes the source keep WAL for it, and no subscription reads it' };
  if (!subscription.enabled) return { state: 'disabled' };
  return running(seen, subscription);
}

/** Nothing is said of a way back that was ended, or never made, or as it should be. */
function wayBack({ slot, subscription, known, givenUp, failure }: Seen): { readonly reason?: string } {
  if (!slot && givenUp !== undefined) return { reason: `${givenUp}: there is no rollback` };
  if (!slot || !known.source) return {};
  if (slot.walStatus === 'lost')
    return {
      reason: 'the target has removed WAL that the way back needs (max_slot_wal_keep_size): there is no rollback',
    };
  if (!subscription?.enabled)
    return {
      reason: 'rows do not travel back yet, and the target keeps WAL for it: pgconvoy retry its cutover, or finish',
    };
  if (subscription.applying) return {};
  return {
    reason: `rows do not travel back: ${subscription.errors?.applying ? 'its worker on the source fails' : 'no worker of it runs on the source'}; ${logSays('source', failure)}`,
  };
}

/** Before the slot; where a part of the road is behind it already, start goes on from there. */
const before = ({ source, target }: DatabaseSetup): Verdict =>
  source.published || target.ours ? { state: 'set-up' } : { state: 'not-set-up' };

function running(seen: Seen, subscription: SubscriptionOverview): Verdict {
  const { slot, tables, known } = seen;
  if (known.source && !slot) return down('its slot on the source is gone: only a new copy helps (`pgconvoy start`)');
  if (slot?.walStatus === 'lost') {
    return down(
      'the source has removed WAL that it needs (max_slot_wal_keep_size): only a new copy helps (`pgconvoy start`)',
    );
  }
  if (!subscription.applying) return down(whyNoWorker(seen, subscription));
  const unfinished = tables ? tables.waiting + tables.copying + tables.catchingUp : subscription.copying;
  if (unfinished > 0) return { state: 'initializing' };
  if (slot && !slot.active)
    return down(
      `its worker runs on the target and does not read the slot: ${failures(seen, subscription) ?? 'it has just been started, or fails again and again'}`,
    );
  if (slot?.walStatus === 'unreserved') {
    return { state: 'replicating', reason: 'the source is about to remove WAL that it needs (max_slot_wal_keep_size)' };
  }
  return { state: 'replicating' };
}

function whyNoWorker(seen: Seen, subscription: SubscriptionOverview): string {
  const { workers, failure } = seen;
  const failed = failures(seen, subscription);
  if (failed !== undefined) return failed;
  if (workers && workers.used >= workers.most) {
    return `no worker slot is free on the target: all ${workers.most} of max_logical_replication_workers are in use`;
  }
  const usedUp = workers ? '' : ', or max_worker_processes is used up';
  return `no worker of it runs on the target: it was just started, or fails${usedUp}; ${logSays('target', failure)}`;
}

function failures({ failure }: Seen, { errors }: SubscriptionOverview): string | undefined {
  if (!errors || errors.applying + errors.copying === 0) return undefined;
  const times = (count: number) => (count === 1 ? 'once' : `${count} times`);
  const parts = [
    ...(errors.applying > 0 ? [`${times(errors.applying)} applying changes`] : []),
    ...(errors.copying > 0 ? [`${times(errors.copying)} copying tables`] : []),
    ...Object.entries(errors.conflicts).map(([kind, count]) => `conflict ${kind} ${times(count)}`),
  ];
  return `its worker on the target fails and is started again (${parts.join(', ')} so far): ${logSays('target', failure)}`;
}

/** The server's own words; else where they are. */
export function logSays(side: Side, failure: Failure | undefined): string {
  if (failure && 'text' in failure) return failure.text;
  return `the ${side}'s log says why${failure ? ` (${failure.unread})` : ''}`;
}
