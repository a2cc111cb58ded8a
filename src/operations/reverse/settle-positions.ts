import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { lookAtFences, markWal } from '../cutover/fence.ts';
import { openedKey, openedOf } from '../cutover/opened.ts';
import { swapped } from '../replication/way-back.ts';
import { positionKey, positionsOf } from './position.ts';
import type { Position } from './position.ts';

/** From where the rows of a database travel back is not settled yet. */
export interface Unsettled {
  readonly database: string;
  /** The LSN of the fence where the way back leads to; undefined where it does not stand. */
  readonly fence: string | undefined;
}

interface Settled {
  /** By database. */
  readonly positions: ReadonlyMap<string, string>;
  readonly missing: readonly Unsettled[];
}

/** From where rows travel back. The contexts are of one run. */
export async function lookAtPositions(contexts: readonly OperationContext[]): Promise<Settled> {
  const [first] = contexts;
  if (!first) return { positions: new Map(), missing: [] };
  const { engine, sourceCluster, sourceLedger, targetCluster } = first;
  const names = contexts.map(({ source }) => source.name);
  const [fences, notes] = await Promise.all([
    lookAtFences(contexts.map((context) => swapped(context))),
    sourceLedger.entriesOn(names, [positionKey('').kind, openedKey('').kind]),
  ]);
  const opened = await openedOf(notes, sourceCluster);
  const noted = [...positionsOf(notes)].filter(
    ([name, { fence }]) => fences.get(name)?.fence?.lsn === fence || opened.has(name),
  );
  const wanted = new Map(noted.map(([name, { lsn }]) => [name, lsn]));
  const begin = await engine.beginsAt(targetCluster, wanted);
  return {
    positions: new Map([...wanted].filter(([name]) => begin.has(name))),
    // Where applications are already, it was settled before they came there, or never: what they have written since would not travel.
    missing: names
      .filter((name) => !begin.has(name) && !opened.has(name))
      .map((database) => ({ database, fence: fences.get(database)?.fence?.lsn })),
  };
}

/**
 * One position for all of them: an LSN is the cluster's, so behind one marker is whatever each of the databases has received, in which
 * order it ever came.
 * @throws PgconvoyError where one of the fences does not stand
 */
export async function settlePositions(context: OperationContext, missing: readonly Unsettled[]): Promise<void> {
  const { engine, sourceCluster, sourceLedger, targetCluster } = context;
  const fences = missing.map(({ database, fence }) => {
    if (fence === undefined) throw notFenced(context, database);
    return { database, fence };
  });
  // Flushed when it returns: what is written after a crash lies behind it.
  const lsn = await markWal({ source: sourceCluster.maintenance });
  await sourceLedger.replaceAll(
    positionKey('').kind,
    new Map(fences.map(({ database, fence }) => [database, { fence, lsn } satisfies Position])),
  );
  await engine.beginAt(targetCluster, new Map(fences.map(({ database }) => [database, lsn])));
}

const notFenced = ({ targetCluster }: OperationContext, database: string): PgconvoyError =>
  new PgconvoyError(
    `${targetCluster.side}, database "${database}": the fence does not stand, so rows may still come from there`,
    { hint: 'Start the cutover of this database again: `pgconvoy stop`.' },
  );
