import { setTimeout as sleep } from 'node:timers/promises';
import { SlotLag, slotLags } from '../../postgres/catalog/replication-lag.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { OURS, slotName } from '../../replication/names.ts';
import { secondsBehind } from './judge.ts';

/** A reader that is up to date has confirmed by then what was there at the first look, milliseconds. */
const AGAIN_MS = 120;
/** What looks later than this is looked at again, seconds. */
const LATE_S = 1;

export interface TimedSlot {
  readonly slot: SlotLag;
  readonly lagSeconds: number | undefined;
}

/**
 * Slots of ours by their database, each with how late its reader is. Where that looks late it is looked at twice: an idle database confirms so
 * seldom that the last word of its reader tells nothing.
 */
export async function readSlots(source: BoundCluster): Promise<ReadonlyMap<string, TimedSlot>> {
  const look = async () => {
    const rows = await source.maintenance.many(SlotLag, slotLags(OURS));
    // Others only look alike.
    return new Map(
      rows.filter(({ name, database }) => name === slotName(database)).map((slot) => [slot.database, slot]),
    );
  };
  const first = await look();
  const looksLate = [...first.values()].some((slot) => slot.active && (secondsBehind(slot) ?? Infinity) > LATE_S);
  const began = Date.now();
  if (looksLate) await sleep(AGAIN_MS);
  const second = looksLate ? await look() : new Map<string, SlotLag>();
  const elapsed = (Date.now() - began) / 1_000;
  return new Map(
    [...first].map(([database, slot]) => {
      const later = second.get(database);
      return [database, { slot, lagSeconds: secondsBehind(slot, later && { slot: later, elapsed }) }];
    }),
  );
}
