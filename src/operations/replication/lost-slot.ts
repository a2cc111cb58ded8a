import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { slotName } from '../../replication/names.ts';
import { pairOf } from './pair.ts';

/** @throws PgconvoyError where the slot is gone or lost its WAL: rows are missing, and only a new copy of the database helps. */
export async function refuseWithoutSlot(context: OperationContext): Promise<void> {
  const slot = await context.engine.slot(pairOf(context));
  if (slot.exists && slot.lost === undefined) return;
  const { name } = context.source;
  const state = slot.exists ? `can never be read again (${slot.lost})` : 'is not there';
  throw new PgconvoyError(
    `source, database "${name}": the replication slot ${slotName(name)} ${state}, so the target cannot get the missing rows`,
    {
      hint:
        (slot.lost === 'wal_removed' ? 'Raise max_slot_wal_keep_size on the source, or give it more disk. ' : '') +
        'Then run `pgconvoy start` again: it makes a new slot and copies this one database anew.',
    },
  );
}
