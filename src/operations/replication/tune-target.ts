import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { id, lit, sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { openedDatabases } from '../cutover/opened.ts';
import { subscriptionName } from '../../replication/names.ts';

const KIND = 'setting';

/** What ALTER SYSTEM wrote: the last line of a name in postgresql.auto.conf counts. */
const Written = z.object({ name: z.string(), value: z.string() });
const Subscription = z.object({ name: z.string() });
const Before = z.object({ written: z.string().nullable() });

/**
 * Settings of the target server that make many small copies quick. All of them need only a reload, and undo puts back exactly
 * what postgresql.auto.conf said.
 * @see https://www.postgresql.org/docs/current/runtime-config-replication.html#RUNTIME-CONFIG-REPLICATION-SUBSCRIBER
 */
export const tuneTarget = defineOperation({
  name: 'tune-target',
  title: 'The target copies several tables at once, without pauses',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({ settings: z.record(z.string(), z.string()) }),

  async check(context) {
    const wanted = await wantedSettings(context);
    const written = await writtenSettings(context);
    const missing = Object.entries(wanted).filter(([name, value]) => written.get(name) !== value);
    if (missing.length === 0) return holds({ settings: wanted });
    return (await nothingToCopy(context)) ? holds({ settings: {} }) : lacks(missing);
  },

  async apply(context, missing) {
    const { target, targetLedger } = context;
    const written = await writtenSettings(context);
    for (const [name, value] of missing) {
      await targetLedger.record({ kind: KIND, object: name }, { written: written.get(name) ?? null });
      await target.run(sql`alter system set ${id(name)} = ${lit(value)}`);
    }
    await target.run(sql`select pg_reload_conf()`);
  },

  async undo({ target, targetLedger }: OperationContext) {
    const entries = await targetLedger.entries(KIND, '');
    for (const { object, before } of entries) {
      const { written } = Before.parse(before);
      if (written === null) await target.run(sql`alter system reset ${id(object)}`);
      else await target.run(sql`alter system set ${id(object)} = ${lit(written)}`);
    }
    if (entries.length > 0) await target.run(sql`select pg_reload_conf()`);
    for (const { object } of entries) await targetLedger.forget({ kind: KIND, object });
    return entries.length > 0;
  },
});

/** Every database of the run is being copied or streams already, or is open on the target: a run that begins again. */
async function nothingToCopy({ target, targetLedger, targetCluster, run }: OperationContext): Promise<boolean> {
  const enabled = await target.many(Subscription, sql`select subname as name from pg_subscription where subenabled`);
  const known = new Set(enabled.map(({ name }) => name));
  const rest = run.databases.filter((database) => !known.has(subscriptionName(database)));
  if (rest.length === 0) return run.databases.length > 0;
  const opened = await openedDatabases(targetLedger, targetCluster);
  return rest.every((database) => opened.has(database));
}

async function wantedSettings({ settings, sourceCluster, engine }: OperationContext): Promise<Record<string, string>> {
  // pglogical has workers of its own, which none of these concern.
  if (engine.name === 'pglogical') return {};
  const { major } = await sourceCluster.facts();
  return {
    max_sync_workers_per_subscription: String(settings.budgets.tableWorkers),
    // Workers are started once per interval and table: with the default of 5 s small databases mostly wait.
    wal_retrieve_retry_interval: '100ms',
    // An idle source of these majors sends nothing that would make a copy's worker see it is done before the next report.
    ...(offers(major, 'keepaliveWhenIdle') ? {} : { wal_receiver_status_interval: '1s' }),
  };
}

/** @see https://www.postgresql.org/docs/current/view-pg-file-settings.html */
async function writtenSettings({ target }: OperationContext): Promise<Map<string, string>> {
  const rows = await target.many(
    Written,
    sql`select name, setting as value from pg_file_settings
         where sourcefile like '%postgresql.auto.conf' and name is not null and setting is not null
         order by seqno`,
  );
  return new Map(rows.map(({ name, value }) => [name, value]));
}
