import { errorText } from '../../errors.ts';
import { dropSnapshots } from '../comparison/snapshots.ts';
import type { SnapshotContext } from '../comparison/snapshots.ts';
import { forgetHooks } from '../traffic/run-hooks-at.ts';
import { releaseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { lowerFence } from './fence.ts';
import type { FenceContext } from './fence.ts';

/**
 * The one way back before opening: the fence is down, and who waits in front of the database goes on. A database that was opened
 * meanwhile keeps its fence; who waits goes on to where it is open.
 * @returns whether there was a fence to take down
 */
export async function giveBack(context: FenceContext & TrafficContext & SnapshotContext): Promise<boolean> {
  await forgetHooks(context);
  const lowered = await lowerFence(context);
  await releaseTraffic(context);
  // The target may be away: then these end by themselves.
  if (lowered)
    await dropSnapshots(context).catch((error: unknown) =>
      context.log.warn({ reason: errorText(error) }, 'snapshots stay'),
    );
  return lowered;
}
