import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { Ledger } from '../../postgres/ledger.ts';
import type { PgBouncer, PgBouncerDatabase } from '../../postgres/pgbouncer.ts';
import { sql } from '../../postgres/sql.ts';
import { letsIn } from '../cutover/let-in.ts';
import { hasLeftSource } from '../cutover/opened.ts';
import { addressOf, addressText, entriesOf, withAddress } from './pgbouncer-file.ts';
import type { AddressText } from './pgbouncer-file.ts';
import { readTextFile, replaceFile } from './replace-file.ts';
import { wayName, waysTo } from './ways.ts';
import type { Way } from './ways.ts';

/**
 * Applications that come through a PgBouncer see a pause and no error: it is paused before the fence ends sessions, led to the other
 * cluster once that is open, and resumed; where the database is given back it is resumed as it was. A note in the ledger comes before
 * each pause, so that none is left behind, whoever dies.
 */

export type TrafficContext = Pick<
  OperationContext,
  | 'traffic'
  | 'source'
  | 'target'
  | 'sourceCluster'
  | 'sourceLedger'
  | 'targetCluster'
  | 'targetLedger'
  | 'run'
  | 'signal'
  | 'log'
  | 'note'
>;

/** Beside the fence's notes, in the ledger of the cluster that is left. */
export const pauseKey = (database: string, way: string) => ({ kind: 'pgbouncer-pause', database, object: way });
export const PauseNote = z.object({
  run: z.string(),
  /** How long it may last, milliseconds. */
  outage: z.number().optional(),
  together: z.boolean(),
});
/** How PgBouncer's file led to the old cluster; in that cluster's ledger as long as it leads to the new one. */
const originKey = (database: string, way: string) => ({ kind: 'pgbouncer', database, object: way });
const Origin = z.object({ host: z.string().nullable(), port: z.string().nullable() });

/** How long it may take until a file that was read again counts. */
const RELOAD_MS = 3_000;
const RELOAD_LOOK_MS = 50;

/** Whether runs pause PgBouncers: an option, so that a change of the configuration does not bend a run that has begun. */
const pauses = ({ run }: TrafficContext): boolean => run.options['pgbouncer'] === true;

/** What still flows to the source; empty where all is paused. Of a database that has been opened nothing is to be paused. */
export async function flowing(context: TrafficContext): Promise<readonly Way[]> {
  const ways = await waysTo(context);
  const running = await runningWays(ways, context.signal);
  return ways.filter((way) => !running.get(wayName(way))?.paused);
}

/**
 * Pauses every way to the source, in runs that do; where one of them does not come to rest, all flow on.
 * @throws DeadlineExceeded, UnreachableError
 */
export async function pauseTraffic(context: TrafficContext): Promise<void> {
  if (!pauses(context)) return;
  const { source, sourceLedger, signal, run } = context;
  const ways = await waysTo(context);
  // From when on it may last how long: its worker may die before there is a fence.
  const outage = run.options['outage'];
  const note: z.output<typeof PauseNote> = {
    run: run.id,
    ...(typeof outage === 'number' ? { outage } : {}),
    together: run.options['together'] === true,
  };
  for (const way of ways) await sourceLedger.replace(pauseKey(source.name, wayName(way)), note);
  const results = await Promise.allSettled(ways.map(({ pgbouncer, name }) => pgbouncer.pause(name, signal)));
  const failed = results.find((result) => result.status === 'rejected');
  if (!failed) return;
  if (!signal.aborted) await resumeTraffic(context);
  throw failed.reason;
}

/**
 * Lets flow on what was paused, to wherever it flowed before: the source takes writes again.
 * @returns whether anything was paused
 */
async function resumeTraffic(context: TrafficContext): Promise<boolean> {
  const { source, sourceLedger, signal } = context;
  const notes = await sourceLedger.entries(pauseKey('', '').kind, source.name);
  for (const { object } of notes) {
    const way = wayNamed(context, object);
    if (way) await way.pgbouncer.resume(way.name, signal);
    await sourceLedger.forget(pauseKey(source.name, object));
  }
  return notes.length > 0;
}

/** Whether somebody waits in front of the database, or may. */
export const isPaused = async ({ source, sourceLedger }: TrafficContext): Promise<boolean> =>
  (await sourceLedger.entries(pauseKey('', '').kind, source.name)).length > 0;

/**
 * After whatever ended a cutover: what is paused flows to the cluster that is open. Where the target was decided for and lets nobody in
 * yet, clients go on waiting for whoever finishes that.
 * @returns whether anything was paused
 */
export async function releaseTraffic(context: TrafficContext): Promise<boolean> {
  const { source, sourceLedger, log } = context;
  const paused = await sourceLedger.entries(pauseKey('', '').kind, source.name);
  if (paused.length === 0) return false;
  if (!(await hasLeftSource(context))) return resumeTraffic(context);
  if (await letsIn(context)) await switchTraffic(context);
  else log.warn(`PgBouncer stays paused until the ${context.targetCluster.side} is open`);
  return true;
}

/** What does not lead to the target yet, or still waits; empty where all is done. */
export async function notSwitched(context: TrafficContext): Promise<string[]> {
  const ways = await waysTo(context);
  const running = await runningWays(ways, context.signal);
  const wanted = await wantedAddresses(context, ways);
  return ways.flatMap((way) => {
    const name = wayName(way);
    const now = running.get(name);
    if (!now) return [`${name} is not there`];
    return [
      ...(leadsTo(now, wanted.get(name)!) ? [] : [`${name} leads to ${now.host ?? 'a socket'}:${now.port}`]),
      ...(now.paused ? [`${name} is paused`] : []),
    ];
  });
}

/** Leads every way to the target, which is open, and lets it flow. */
export async function switchTraffic(context: TrafficContext): Promise<void> {
  const { source, sourceLedger, signal, note } = context;
  const ways = await waysTo(context);
  const wanted = await wantedAddresses(context, ways);
  const isBack = context.targetCluster.side === 'source';
  for (const pgbouncer of new Set(ways.map((way) => way.pgbouncer))) {
    const its = ways.filter((way) => way.pgbouncer === pgbouncer);
    if (!isBack) await noteOrigins(context, pgbouncer, its);
    await rewrite(context, pgbouncer, its, wanted);
    await pgbouncer.reload(signal);
    await untilLed(pgbouncer, its, wanted, signal);
    for (const way of its) {
      await pgbouncer.resume(way.name, signal);
      await sourceLedger.forget(pauseKey(source.name, wayName(way)));
      const { host, port } = addressOf(wanted.get(wayName(way))!);
      note(`PgBouncer ${pgbouncer.place}: "${way.name}" leads to ${host ?? 'its socket'}:${port}`);
    }
  }
  if (isBack) for (const way of ways) await oldLedger(context).forget(originKey(source.name, wayName(way)));
  // What was paused by a configuration that has changed since.
  await resumeTraffic(context);
}

/** Where the notes of what was are: with the cluster that everything began on, whichever direction a run goes. */
const oldLedger = ({ sourceCluster, sourceLedger, targetLedger }: TrafficContext): Ledger =>
  sourceCluster.side === 'source' ? sourceLedger : targetLedger;

/** By the way's name: where it leads once the target is open. On the way back as it led before. */
async function wantedAddresses(context: TrafficContext, ways: readonly Way[]): Promise<Map<string, AddressText>> {
  const { source, targetCluster } = context;
  const { host, port } = targetCluster.cluster.address;
  const origins =
    targetCluster.side === 'source' ? await oldLedger(context).entries(originKey('', '').kind, source.name) : [];
  return new Map(
    ways.map((way) => {
      const { target } = way.pgbouncer;
      const origin = origins.find(({ object }) => object === wayName(way));
      if (origin) return [wayName(way), Origin.parse(origin.before)];
      const seen = targetCluster.side === 'target' ? target : {};
      return [wayName(way), addressText(seen.host ?? host, seen.port ?? port)];
    }),
  );
}

async function noteOrigins(context: TrafficContext, { file }: PgBouncer, ways: readonly Way[]): Promise<void> {
  const entries = entriesOf(await readTextFile(file));
  for (const way of ways) {
    const entry = entries.find(({ name }) => name === way.name);
    if (!entry) throw noLine(way);
    await oldLedger(context).record(originKey(context.source.name, wayName(way)), entry.address);
  }
}

/** One at a time, whichever worker: other lanes change other lines of the same file. */
async function rewrite(
  { sourceCluster: { maintenance } }: TrafficContext,
  { file }: PgBouncer,
  ways: readonly Way[],
  wanted: ReadonlyMap<string, AddressText>,
): Promise<void> {
  await maintenance.transaction(async () => {
    await maintenance.run(sql`select pg_advisory_xact_lock(hashtext(${`pgconvoy ${file}`}))`);
    const before = await readTextFile(file);
    const known = new Set(entriesOf(before).map(({ name }) => name));
    const after = ways.reduce((text, way) => {
      if (!known.has(way.name)) throw noLine(way);
      return withAddress(text, way.name, wanted.get(wayName(way))!);
    }, before);
    if (after !== before) await replaceFile(file, after);
  });
}

const noLine = ({ pgbouncer, name }: Way): PgconvoyError =>
  new PgconvoyError(`here, the file ${pgbouncer.file} of PgBouncer ${pgbouncer.place}: it has no line for "${name}"`, {
    hint: `Give it a line of its own under [databases], or correct cutover.pgbouncer in the configuration.`,
  });

/** A file that PgBouncer does not take it complains of in its log alone. */
async function untilLed(
  pgbouncer: PgBouncer,
  ways: readonly Way[],
  wanted: ReadonlyMap<string, AddressText>,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + RELOAD_MS;
  for (;;) {
    const running = await runningWays(ways, signal);
    const stray = ways.find((way) => !leadsTo(running.get(wayName(way)), wanted.get(wayName(way))!));
    if (!stray) return;
    if (Date.now() > deadline) {
      throw new PgconvoyError(
        `PgBouncer ${pgbouncer.place} does not lead "${stray.name}" to the open cluster, although ${pgbouncer.file} says so and it was told to read it again`,
        {
          hint: 'See its log for what it does not take, and that it is this file it reads. Its clients wait until the step succeeds.',
          disposition: 'retry',
        },
      );
    }
    await sleep(RELOAD_LOOK_MS, undefined, { signal });
  }
}

/** By the way's name, what runs. */
async function runningWays(ways: readonly Way[], signal: AbortSignal): Promise<ReadonlyMap<string, PgBouncerDatabase>> {
  const pgbouncers = [...new Set(ways.map(({ pgbouncer }) => pgbouncer))];
  const lists = await Promise.all(
    pgbouncers.map(async (pgbouncer) =>
      (await pgbouncer.list(signal)).map((each) => [wayName({ pgbouncer, name: each.name }), each] as const),
    ),
  );
  return new Map(lists.flat());
}

function leadsTo(running: PgBouncerDatabase | undefined, wanted: AddressText): boolean {
  const { host, port } = addressOf(wanted);
  return running !== undefined && (running.host ?? undefined) === host && running.port === port;
}

function wayNamed({ traffic, log, note, source }: TrafficContext, object: string): Way | undefined {
  const pgbouncer = traffic.pgbouncers.find(({ place }) => object.startsWith(`${place}/`));
  if (pgbouncer) return { pgbouncer, name: object.slice(pgbouncer.place.length + 1) };
  const text = `PgBouncer ${object} of database "${source.name}" was paused and is not in the configuration any more: RESUME it in its console`;
  log.warn(text);
  note(text);
  return undefined;
}
