import type { OperationContext } from '../../engine/operation.ts';
import { FenceState, fenceStates } from '../../postgres/catalog/fence.ts';
import { refuseLateDrift } from '../drift/look.ts';
import { refuseWithoutSlot } from '../replication/lost-slot.ts';
import { claimFences } from './claim-fence.ts';
import { eachOf } from './each-of.ts';
import { ANOTHERS, beforeFence } from './fence.ts';
import { giveBack } from './give-back.ts';
import { refuseGivenBack } from './given-back.ts';
import { raiseFences } from './raise-fence.ts';

interface Unfenced {
  readonly context: OperationContext;
  /** What its fence misses. */
  readonly missing: readonly string[];
}

/**
 * Raises the fences of these databases of one run, together. One that stands, and that nobody but another run has raised, is taken over as
 * it is.
 * @throws what `raiseFences` throws; then all of them are given back
 */
export async function fenceThese(all: readonly Unfenced[]): Promise<void> {
  const isAnothers = ({ missing }: Unfenced) => missing.every((each) => each === ANOTHERS);
  await takeOver(all.filter(isAnothers).map(({ context }) => context));
  const contexts = all.filter((each) => !isAnothers(each)).map(({ context }) => context);
  await eachOf(contexts, refuseGivenBack);
  try {
    // An outage that nothing can come of is spared the applications.
    await eachOf(contexts, refuseWithoutSlot);
    await raiseFences(contexts, async () => {
      await eachOf(contexts, refuseLateDrift);
    });
  } catch (error) {
    // Applications may wait already.
    await eachOf(contexts, async (context) => {
      if (!context.signal.aborted) await giveBack(context);
    });
    throw error;
  }
}

/** They stand, and nobody has written since: what their worker had begun goes on from there. */
async function takeOver(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const names = contexts.map(({ source }) => source.name);
  const states = await first.sourceCluster.maintenance.many(FenceState, fenceStates(names));
  await claimFences(first, new Map(states.map((state) => [state.database, beforeFence(state)])));
}
