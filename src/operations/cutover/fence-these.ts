import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError } from '../../errors.ts';
import { FenceState, fenceStates } from '../../postgres/catalog/fence.ts';
import { id } from '../../postgres/sql.ts';
import { readAllProbes } from '../drift/baseline.ts';
import { refuseLateDrift } from '../drift/look.ts';
import { refuseWithoutSlot } from '../replication/lost-slot.ts';
import { pairOf } from '../replication/pair.ts';
import { claimFences } from './claim-fence.ts';
import { eachOf } from './each-of.ts';
import { ANOTHERS, beforeFence, lookAtFences } from './fence.ts';
import type { StandingFence } from './fence.ts';
import { giveBackEach } from './give-back.ts';
import { refuseGivenBack } from './given-back.ts';
import { refuseLate } from './late.ts';
import { openedKey, openedOf } from './opened.ts';
import type { Opened } from './opened.ts';
import { raiseFences } from './raise-fence.ts';

interface Unfenced {
  readonly database: string;
  /** What its fence misses. */
  readonly missing: readonly string[];
}

interface FencesLook {
  /** By database, those that stand. */
  readonly fences: ReadonlyMap<string, StandingFence>;
  /** Those of databases that applications have left before: they belong to their owners, so nothing is raised anew. */
  readonly left: ReadonlyMap<string, Opened>;
  readonly unfenced: readonly Unfenced[];
}

/** What is still to be fenced of these databases of one run. */
export async function lookForUnfenced(contexts: readonly OperationContext[]): Promise<FencesLook> {
  const looks = await lookAtFences(contexts);
  const fences = new Map([...looks].flatMap(([name, { fence }]) => (fence ? [[name, fence] as const] : [])));
  const open = [...looks.keys()].filter((name) => !fences.has(name));
  const [first] = contexts;
  if (!first || open.length === 0) return { fences, left: new Map(), unfenced: [] };
  const { targetCluster, targetLedger } = first;
  const left = await openedOf(await targetLedger.entriesOn(open, [openedKey('').kind]), targetCluster);
  const unfenced = open
    .filter((name) => !left.has(name))
    .map((database) => ({ database, missing: looks.get(database)!.missing }));
  return { fences, left, unfenced };
}

/**
 * Raises the fences of these databases of one run, together. One that stands, and that nobody but another run has raised, is taken over as
 * it is.
 * @param all of databases that are `unfenced`
 * @throws DeadlineExceeded where the time of one is up already, and what `raiseFences` throws; then all of them are given back
 */
export async function fenceThese(all: readonly OperationContext[], unfenced: readonly Unfenced[]): Promise<void> {
  const missed = new Map(unfenced.map(({ database, missing }) => [database, missing]));
  const isAnothers = ({ source }: OperationContext) => missed.get(source.name)!.every((each) => each === ANOTHERS);
  await takeOver(all.filter(isAnothers));
  const contexts = all.filter((each) => !isAnothers(each));
  await eachOf(contexts, refuseGivenBack);
  await refuseLate(contexts);
  try {
    // An outage that nothing can come of is spared the applications.
    await eachOf(contexts, async (context) => {
      await refuseWithoutSlot(context);
      await refuseUnlessStreaming(context);
    });
    await raiseFences(contexts, () => refuseDrift(contexts));
  } catch (error) {
    // Applications may wait already.
    if (!all[0]?.signal.aborted) await giveBackEach(contexts);
    throw error;
  }
}

/** Behind the fence nobody adds a table any more (`refuseUnlessReplicating`). */
async function refuseUnlessStreaming(context: OperationContext): Promise<void> {
  const { engine, source, target } = context;
  const { tables } = await engine.subscription(pairOf(context));
  const waiting = tables.filter(({ state }) => state !== 'streaming');
  const [first] = waiting;
  if (!first) return;
  throw new PgconvoyError(
    `${target.side}, database "${source.name}": ${waiting.length} of ${tables.length} tables do not stream yet, ${id(first.schema, first.name).text} among them. It was not fenced`,
    { hint: 'Wait until it has caught up (pgconvoy status), then retry the step.', disposition: 'retry' },
  );
}

async function refuseDrift(contexts: readonly OperationContext[]): Promise<void> {
  const names = contexts.map(({ source }) => source.name);
  const noted = await readAllProbes(contexts[0]!.targetLedger, names);
  await eachOf(contexts, (context) => refuseLateDrift(context, noted.get(context.source.name)));
}

/** They stand, and nobody has written since: what their worker had begun goes on from there. */
async function takeOver(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const names = contexts.map(({ source }) => source.name);
  const states = await first.sourceCluster.maintenance.many(FenceState, fenceStates(names));
  await claimFences(first, new Map(states.map((state) => [state.database, beforeFence(state)])));
}
