import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { lookAtFences, markWal } from '../cutover/fence.ts';
import { openedKey, openedOf } from '../cutover/opened.ts';
import { swapped } from '../replication/way-back.ts';
import { positionKey, positionsOf } from './position.ts';
import type { Position } from './position.ts';

/** By database, from where rows travel back; where that is not settled yet it is left out. The contexts are of one run. */
export async function settledPositions(contexts: readonly OperationContext[]): Promise<ReadonlyMap<string, string>> {
  const [first] = contexts;
  if (!first) return new Map();
  const { engine, sourceCluster, sourceLedger, targetCluster } = first;
  const names = contexts.map(({ source }) => source.name);
  const [fences, notes] = await Promise.all([
    fencesOf(contexts),
    sourceLedger.entriesOn(names, [positionKey('').kind, openedKey('').kind]),
  ]);
  const opened = await openedOf(notes, sourceCluster);
  const settled = [...positionsOf(notes)].filter(
    ([name, { fence }]) => fences.get(name)?.fence?.lsn === fence || opened.has(name),
  );
  const positions = new Map(settled.map(([name, { lsn }]) => [name, lsn]));
  const begin = await engine.beginsAt(targetCluster, positions);
  return new Map([...positions].filter(([name]) => begin.has(name)));
}

/**
 * One position for all of them: an LSN is the cluster's, so behind one marker is whatever each of the databases has received, in which
 * order it ever came.
 * @throws PgconvoyError where one of the fences does not stand
 */
export async function settlePositions(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const { engine, sourceCluster, sourceLedger, targetCluster } = first;
  const fences = await fencesOf(contexts);
  const fenced = contexts.map((context) => [context.source.name, requireFence(context, fences)] as const);
  // Flushed when it returns: what is written after a crash lies behind it.
  const lsn = await markWal({ source: sourceCluster.maintenance });
  await sourceLedger.replaceAll(
    positionKey('').kind,
    new Map(fenced.map(([name, fence]) => [name, { fence, lsn } satisfies Position])),
  );
  await engine.beginAt(targetCluster, new Map(fenced.map(([name]) => [name, lsn])));
}

/** They stand where the way back leads to. */
const fencesOf = (contexts: readonly OperationContext[]) => lookAtFences(contexts.map((context) => swapped(context)));

/** @returns its LSN */
function requireFence({ target }: OperationContext, fences: Awaited<ReturnType<typeof fencesOf>>): string {
  const fence = fences.get(target.name)?.fence;
  if (fence) return fence.lsn;
  throw new PgconvoyError(
    `${target.side}, database "${target.name}": the fence does not stand, so rows may still come from there`,
    { hint: 'Start the cutover of this database again: `pgconvoy stop`.' },
  );
}
