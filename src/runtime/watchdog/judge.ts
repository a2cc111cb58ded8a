import type { Config } from '../../config/schema.ts';
import type { Finding } from '../../engine/finding.ts';
import { describeTransaction, endingOf } from '../../postgres/catalog/transactions.ts';
import type { WriteTransaction } from '../../postgres/catalog/transactions.ts';
import type { Side } from '../../postgres/cluster.ts';
import type { Concern } from '../../queue/watch-record.ts';
import { logSays } from '../status/judge.ts';
import type { DatabaseStatus } from '../status/types.ts';
import type { WalDisk } from './disk.ts';

type Limits = Omit<Config['watchdog'], 'enabled' | 'policy'>;

/** What one look has seen. */
export interface Look {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly databases: readonly DatabaseStatus[];
  /** That have written and not ended, of the source. */
  readonly transactions: readonly WriteTransaction[];
  readonly disks: Readonly<Partial<Record<Side, WalDisk>>>;
  /** Databases that a step is copying. */
  readonly inCopy: ReadonlySet<string>;
  readonly drift: readonly Finding[];
}

/** What was seen before, by database. */
export interface Memory {
  /** Up to where it had confirmed, and since when it has not come further. */
  readonly confirmed: ReadonlyMap<string, { readonly to: number; readonly since: number }>;
  readonly failures: ReadonlyMap<string, number>;
}

export const NOTHING_SEEN: Memory = { confirmed: new Map(), failures: new Map() };

/** A finding; one that blocks is a danger, on which the policy acts. */
export interface Judged {
  readonly concern: Concern;
  readonly finding: Finding;
}

/** Of a limit; from there on it is told. */
const SOON = 0.5;
/** Of what max_slot_wal_keep_size allows: less is danger. */
const LEFT = 0.2;
const MOST_TRANSACTIONS = 5;

/** What is wrong, or will be soon. Pure. */
export function judgeLook(look: Look, memory: Memory, limits: Limits): readonly Judged[] {
  return [
    ...disksOf(look, limits),
    ...look.databases.flatMap((database) => [
      ...retained(database, limits),
      ...slotAtRisk(database),
      ...stalled(database, look, memory, limits),
      ...failing(database, memory),
    ]),
    ...transactionsOf(look, limits),
    ...look.drift.map((finding) => ({
      concern: 'drift' as const,
      finding: { ...finding, severity: 'warning' as const },
    })),
  ];
}

/** What the next look has to know of this one. */
export function remember({ databases, at }: Look, before: Memory): Memory {
  const confirmed = new Map<string, { to: number; since: number }>();
  const failures = new Map<string, number>();
  for (const { database, slot, errors } of databases) {
    const known = before.confirmed.get(database);
    if (slot?.confirmedTo !== undefined)
      confirmed.set(database, known?.to === slot.confirmedTo ? known : { to: slot.confirmedTo, since: at });
    if (errors) failures.set(database, errors.applying + errors.copying);
  }
  return { confirmed, failures };
}

/** Where its slot is: rows travel back once it is open on the target. */
export const keeperOf = ({ setup }: DatabaseStatus): Side => (setup.target.opened ? 'target' : 'source');

const about = (status: DatabaseStatus) => ({ side: keeperOf(status), database: status.database });

function retained(status: DatabaseStatus, { mostRetained }: Limits): Judged[] {
  const kept = status.slot?.retainedBytes ?? 0;
  if (status.slot?.walStatus === 'lost' || kept < mostRetained * SOON) return [];
  return [
    {
      concern: 'retained',
      finding: {
        ...about(status),
        code: 'wal-retained',
        severity: kept < mostRetained ? 'warning' : 'block',
        message: `its slot makes the ${keeperOf(status)} keep ${size(kept)} of WAL (watchdog.mostRetained is ${size(mostRetained)}); it is ${status.state}${because(status)}`,
        remedy: 'See that its rows travel (pgconvoy status), or give the disk more room.',
      },
    },
  ];
}

function slotAtRisk(status: DatabaseStatus): Judged[] {
  const { slot } = status;
  if (!slot) return [];
  const isLost = slot.walStatus === 'lost';
  const { safeBytes = Infinity } = slot;
  const isNear = safeBytes < Infinity && safeBytes <= LEFT * (safeBytes + slot.retainedBytes);
  if (!isLost && slot.walStatus !== 'unreserved' && !isNear) return [];
  const side = keeperOf(status);
  return [
    {
      concern: 'slot',
      finding: {
        ...about(status),
        code: isLost ? 'slot-lost' : 'slot-at-risk',
        severity: 'block',
        message: isLost
          ? `the ${side} has removed WAL that its slot needs (max_slot_wal_keep_size)`
          : `the ${side} removes WAL that its slot needs once ${size(Math.max(0, slot.safeBytes ?? 0))} more is written (max_slot_wal_keep_size)`,
        remedy: isLost
          ? 'Raise max_slot_wal_keep_size, then pgconvoy start copies the database anew.'
          : `On the ${side}, if its disk bears it: ALTER SYSTEM SET max_slot_wal_keep_size = …; SELECT pg_reload_conf();`,
      },
    },
  ];
}

function stalled(status: DatabaseStatus, { at, inCopy }: Look, memory: Memory, { stalledAfter }: Limits): Judged[] {
  const { slot, state, database, lagBytes = 0 } = status;
  const before = memory.confirmed.get(database);
  if (!slot || !before || before.to !== slot.confirmedTo || lagBytes === 0) return [];
  if (state === 'initializing' || inCopy.has(database) || slot.walStatus === 'lost' || at - before.since < stalledAfter)
    return [];
  return [
    {
      concern: 'stalled',
      finding: {
        ...about(status),
        code: 'replication-stalled',
        severity: 'block',
        message: `for ${time(at - before.since)} nothing was confirmed, and ${size(lagBytes)} of WAL wait; it is ${state}${because(status)}`,
        remedy: 'The reason, where there is one, is the cause; else the log of the side that applies names it.',
      },
    },
  ];
}

/** What a server counts; the text of an error is in its log alone. */
function failing(status: DatabaseStatus, memory: Memory): Judged[] {
  const { errors, database, failure } = status;
  const before = memory.failures.get(database);
  if (!errors || before === undefined || errors.applying + errors.copying <= before) return [];
  const conflicts = Object.entries(errors.conflicts).map(([kind, count]) => `, conflict ${kind} ${count} times so far`);
  const applies = keeperOf(status) === 'source' ? 'target' : 'source';
  return [
    {
      concern: 'errors',
      finding: {
        ...about(status),
        side: applies,
        code: 'apply-errors',
        severity: 'block',
        message: `its worker fails and is started again: ${errors.applying + errors.copying - before} times since the last look${conflicts.join('')}; ${logSays(applies, failure)}`,
        remedy: `Repair the row or the table on the ${applies}; the worker tries again by itself.`,
      },
    },
  ];
}

function disksOf({ disks, databases }: Look, { leastFree }: Limits): Judged[] {
  return Object.entries(disks).flatMap(([side, { freeBytes, keptAnyway }]) => {
    if (freeBytes === undefined || freeBytes >= leastFree) return [];
    const free = `the disk of the ${side}'s WAL has ${size(freeBytes)} left (watchdog.leastFree is ${size(leastFree)})`;
    const remedy = `Give that disk more room, or take away what else is on it.`;
    const [most] = databases
      .filter((status) => keeperOf(status) === side && status.slot !== undefined && status.slot.walStatus !== 'lost')
      .toSorted((one, other) => other.slot!.retainedBytes - one.slot!.retainedBytes);
    const kept = most?.slot?.retainedBytes ?? 0;
    const isOurs = most !== undefined && kept > keptAnyway;
    const finding: Finding = {
      code: 'disk-low',
      side: side as Side,
      ...(isOurs ? { database: most.database } : {}),
      severity: isOurs ? 'block' : 'warning',
      message: isOurs
        ? `${free}, and its slot keeps ${size(kept)} of it`
        : `${free}; no slot of pgconvoy keeps much of it`,
      remedy,
    };
    return [{ concern: 'disk' as const, finding }];
  });
}

function transactionsOf({ transactions, databases }: Look, { transactionAfter }: Limits): Judged[] {
  if (!databases.some((status) => status.slot && keeperOf(status) === 'source')) return [];
  return transactions
    .filter(({ ageSeconds }) => ageSeconds * 1_000 >= transactionAfter)
    .slice(0, MOST_TRANSACTIONS)
    .map((transaction) => ({
      concern: 'transactions' as const,
      finding: {
        code: 'long-transaction',
        severity: 'warning' as const,
        side: 'source' as const,
        object: transaction.pid === null ? `prepared ${transaction.gid}` : `pid ${transaction.pid}`,
        message: `${describeTransaction(transaction)} has written and not ended: every slot keeps the WAL since then`,
        remedy: `Let it end, or end it on the source: ${endingOf(transaction)}`,
      },
    }));
}

const because = ({ reason }: DatabaseStatus): string => (reason === undefined ? '' : `: ${reason}`);
const time = (milliseconds: number): string =>
  milliseconds < 120_000 ? `${Math.round(milliseconds / 1_000)} s` : `${Math.round(milliseconds / 60_000)} min`;

function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(1_024)));
  const value = bytes / 1_024 ** power;
  return `${value >= 10 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]!}`;
}
