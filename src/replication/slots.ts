import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../errors.ts';
import { confirmedLsn, currentLsn, isReader, lsnDifference } from '../postgres/catalog/replication-lag.ts';
import {
  WriteTransaction,
  describeTransaction,
  endingOf,
  writeTransactions,
} from '../postgres/catalog/transactions.ts';
import type { Database } from '../postgres/database.ts';
import { DatabaseError } from '../postgres/errors.ts';
import { fragment, lit, since, sql } from '../postgres/sql.ts';
import type { Waiting, HeldSnapshot, Pair, SlotState } from './engine.ts';
import { slotName } from './names.ts';

/** What its WAL sender knows of a slot is asked only where the slot itself does not know it. */
const withReader = since('slotConfirmedLsn', fragment``, fragment`left join pg_stat_replication r on ${isReader}`);

const Slot = z.object({ confirmedLsn: z.string().nullable(), lost: z.string().nullable(), lagBytes: z.number() });

/**
 * Our slot on the source.
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export async function slot({ source, sourceCluster }: Pair): Promise<SlotState> {
  // Through json, since wal_status (13), conflicting (16) and invalidation_reason (17) came one after the other.
  const row = await sourceCluster.maintenance.maybe(
    Slot,
    sql`select ${confirmedLsn}::text as "confirmedLsn",
               coalesce(nullif(to_json(s)->>'invalidation_reason', ''),
                        case when to_json(s)->>'wal_status' = 'lost' then 'wal_removed' end) as lost,
               coalesce(${lsnDifference}(${currentLsn}, ${confirmedLsn}), 0)::float8 as "lagBytes"
          from pg_replication_slots s
          ${withReader}
         where slot_name = ${slotName(source.name)}`.kept(),
  );
  const confirmed = row?.confirmedLsn ?? undefined;
  return {
    exists: confirmed !== undefined,
    confirmedLsn: confirmed,
    lost: row?.lost ?? undefined,
    lagBytes: row?.lagBytes ?? 0,
  };
}

const Late = z.object({ name: z.string() });

/** By name, the databases whose slot's reader has not everything up to their LSN on its disk; all are asked at once. */
export async function unconfirmed(all: readonly Waiting[]): Promise<readonly string[]> {
  const [first] = all;
  if (!first) return [];
  const names = new Map(all.map(({ pair }) => [slotName(pair.source.name), pair.source.name]));
  const late = await first.pair.sourceCluster.maintenance.many(
    Late,
    sql`select w.name
          from unnest(${[...names.keys()]}::text[], ${all.map(({ lsn }) => lsn)}::text[]) w (name, lsn)
          left join pg_replication_slots s on s.slot_name = w.name
          ${withReader}
         where not coalesce(${confirmedLsn} >= w.lsn::pg_lsn, false)`.kept(),
  );
  return late.map(({ name }) => names.get(name)!);
}

/** @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION */
export async function createSlot(pair: Pair, plugin: string, timeoutMs: number): Promise<void> {
  const { source, sourceCluster } = pair;
  const name = slotName(source.name);
  if ((await slot(pair)).exists) return;
  // A session of a worker that was killed may still be at it; it would hold the name until it is through.
  await dropSlots(sourceCluster.maintenance, [name]);
  await namingBlockers(pair, plugin, timeoutMs, () =>
    source.run(sql`select pg_create_logical_replication_slot(${name}, ${plugin})`, { statementTimeoutMs: timeoutMs }),
  );
}

/** @see https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-CREATE-REPLICATION-SLOT */
export async function createSlotWithSnapshot(pair: Pair, plugin: string, timeoutMs: number): Promise<HeldSnapshot> {
  const name = slotName(pair.source.name);
  await dropSlots(pair.sourceCluster.maintenance, [name]);
  const session = pair.source.replicationSession();
  const dispose = () => session[Symbol.asyncDispose]();
  try {
    const snapshot = await namingBlockers(pair, plugin, timeoutMs, () => session.createSlot(name, plugin, timeoutMs));
    return { ...snapshot, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function namingBlockers<T>(pair: Pair, plugin: string, timeoutMs: number, create: () => Promise<T>): Promise<T> {
  try {
    return await create();
  } catch (error) {
    if (error instanceof DatabaseError && /may not be used as an output plugin/.test(error.message))
      throw await refusedPlugin(pair, plugin, error);
    if (!(error instanceof DatabaseError && error.sqlstate === '57014')) throw error;
    throw await blockedSlot(pair, timeoutMs, error);
  }
}

const Allowed = z.object({ libraries: z.string() });

/** Servers patched since August 2026 take only output plugins that are listed. */
async function refusedPlugin({ source }: Pair, plugin: string, cause: DatabaseError): Promise<PgconvoyError> {
  const { libraries } = await source.one(Allowed, sql`select current_setting('output_plugin_libraries') as libraries`);
  const wanted = [...libraries.split(',').map((name) => name.trim().replaceAll('"', '')), plugin];
  const listed = wanted.map((name) => lit(name).text.trim()).join(', ');
  return new PgconvoyError(cause.message, {
    hint: `On the ${source.side}: ALTER SYSTEM SET output_plugin_libraries = ${listed}; SELECT pg_reload_conf(); (no restart) Then retry the step.`,
    cause,
  });
}

/** A new slot waits for every transaction that has written, in whichever database of the cluster. */
async function blockedSlot({ source }: Pair, timeoutMs: number, cause: unknown): Promise<DeadlineExceeded> {
  const blockers = await source.many(WriteTransaction, writeTransactions());
  const named = blockers.slice(0, 5).map(describeTransaction).join('; ');
  const remedy = blockers.slice(0, 5).map(endingOf).join(' ');
  return new DeadlineExceeded(
    `${source.side}, database "${source.name}": the replication slot could not be created within ${timeoutMs} ms, because ` +
      `write transactions have been running all the time: ${named === '' ? 'they have just ended' : named}`,
    {
      hint:
        blockers.length === 0
          ? 'Retry the step.'
          : `Let them end, or end them on the ${source.side}: ${remedy} Then retry the step.`,
      disposition: 'wait',
      cause,
    },
  );
}

const HeldSlot = z.object({ name: z.string() });

/** Ends who reads these slots, and drops them. Says whether there were any. */
export async function dropSlots(database: Database, names: readonly string[]): Promise<boolean> {
  const reader = since(
    'slotActivePid',
    fragment`s.active_pid`,
    fragment`(select r.pid from pg_stat_replication r where s.active and r.application_name = s.slot_name)`,
  );
  for (let attempt = 1; ; attempt++) {
    const slots = await database.many(
      HeldSlot,
      sql`select slot_name as name, case when ${reader} is not null then pg_terminate_backend(${reader}) end
            from pg_replication_slots s
           where slot_name = any (${names}::text[])`,
    );
    if (slots.length === 0) return attempt > 1;
    try {
      for (const { name } of slots) {
        await database.run(
          sql`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${name}`,
        );
      }
    } catch (error) {
      // The walsender we have just ended needs a moment to leave the slot, and may be gone with it.
      if (!(error instanceof DatabaseError && ['55006', '42704'].includes(error.sqlstate) && attempt < 100))
        throw error;
      await sleep(Math.min(20 * attempt, 200));
    }
  }
}
