import type { OperationContext } from '../../../engine/operation.ts';
import { ListedDatabase, listedDatabases } from '../../../postgres/catalog/listed-databases.ts';
import { DropHangs, dropHangs } from '../../../postgres/catalog/undroppable.ts';
import type { Side } from '../../../postgres/cluster.ts';
import type { Database } from '../../../postgres/database.ts';
import { DatabaseError } from '../../../postgres/errors.ts';
import { id, sql } from '../../../postgres/sql.ts';
import { takingBack } from '../../../replication/engines.ts';
import { canaryDatabase } from '../../../replication/names.ts';
import { pairOf } from '../../replication/pair.ts';
import { swapped } from '../../replication/way-back.ts';

/** How long DROP DATABASE may take, milliseconds. */
const DROP_MS = 10_000;

/** Everything in the scratch databases is in this schema, so that one that cannot be dropped can be emptied. */
export const SCHEMA = 'canary';

/** A scratch database that stays, and why. */
export interface Left {
  readonly side: Side;
  readonly database: string;
  /** Emptied, so that the next canary can use it. */
  readonly usable: boolean;
  readonly reason: string;
}

/** What operations on one database want. */
export type Canary = OperationContext<Record<string, never>>;

/** The same job, bound to the scratch databases instead of the maintenance databases. */
export function canaryContext(context: OperationContext): Canary {
  const { sourceCluster, targetCluster, settings } = context;
  const name = canaryDatabase(settings.replication.role);
  return { ...context, input: {}, source: sourceCluster.database(name), target: targetCluster.database(name) };
}

/** The scratch database of one side, where it is there. */
interface Scratch {
  readonly end: Database;
  readonly maintenance: Database;
  /** DROP DATABASE was interrupted: nobody can connect to it any more. */
  readonly invalid: boolean;
}

async function scratchDatabases({
  source,
  target,
  sourceCluster,
  targetCluster,
}: OperationContext): Promise<Scratch[]> {
  const sides = [
    { end: source, maintenance: sourceCluster.maintenance },
    { end: target, maintenance: targetCluster.maintenance },
  ];
  const listed = await Promise.all(sides.map(({ maintenance }) => maintenance.many(ListedDatabase, listedDatabases())));
  return sides.flatMap((side, index) => {
    const found = listed[index]!.find(({ name }) => name === side.end.name);
    return found ? [{ ...side, invalid: found.invalid }] : [];
  });
}

/** Makes them on both sides, empty. One that an earlier canary could not drop is there already. */
export async function createScratch(canary: Canary): Promise<void> {
  const { source, target, sourceCluster, targetCluster } = canary;
  const there = await scratchDatabases(canary);
  const create = async (end: Database, maintenance: Database) => {
    if (there.some((one) => one.end === end)) return;
    // The same on both sides, whatever the clusters' own encoding and locale.
    await maintenance.run(
      sql`create database ${id(end.name)} with template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`,
    );
  };
  await Promise.all([create(source, sourceCluster.maintenance), create(target, targetCluster.maintenance)]);
}

/**
 * Takes away whatever the canary has made in its databases, then the databases. Works on what a run that was killed has left.
 */
export async function dropScratch(canary: Canary): Promise<{ readonly dropped: boolean; readonly left: Left[] }> {
  const { source, target } = canary;
  // A canary of the other engine may have been killed.
  const engine = takingBack(canary.engine);
  const there = await scratchDatabases(canary);
  const usable = (end: Database) => there.some((one) => one.end === end && !one.invalid);
  const [forth, back] = [pairOf(canary), pairOf(swapped(canary))];
  if (usable(target)) await engine.dropSubscription(forth);
  if (usable(source)) await engine.dropSubscription(back);
  for (const [end, pair] of [[source, forth] as const, [target, back] as const]) {
    if (!usable(end)) continue;
    await engine.dropSlot(pair);
    await engine.unpublish(pair);
  }
  const left = (await Promise.all(there.map(dropOne))).flatMap((one) => one ?? []);
  return { dropped: left.length < there.length, left };
}

async function dropOne({ end, maintenance, invalid }: Scratch): Promise<Left | undefined> {
  const { side, name, cluster } = end;
  const { hangs } = await maintenance.one(DropHangs, dropHangs());
  if (hangs && !invalid) {
    await end.run(sql`drop schema if exists ${id(SCHEMA)} cascade`);
    const reason = 'DROP DATABASE waits for ever on this server as long as this version of pglogical is loaded';
    return { side, database: name, usable: true, reason };
  }
  await end.close();
  await cluster.forget(name);
  await maintenance.run(
    sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name} and pid <> pg_backend_pid()`,
  );
  try {
    await maintenance.run(sql`drop database ${id(name)}`, { statementTimeoutMs: DROP_MS });
    return undefined;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return { side, database: name, usable: false, reason: error.message };
  }
}
