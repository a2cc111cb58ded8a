import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { slotName } from '../../replication/names.ts';
import { givenUp } from './given-up.ts';
import { pairOf } from './pair.ts';

/** @throws PgconvoyError where the slot is gone or lost its WAL: rows are missing, and only a new copy of the database helps. */
export async function refuseWithoutSlot(context: OperationContext): Promise<void> {
  const slot = await context.engine.slot(pairOf(context));
  if (slot.exists && slot.lost === undefined) return;
  const { name, side } = context.source;
  const given = await givenUp(context.sourceLedger, name);
  const state = slot.exists ? `can never be read again (${slot.lost})` : `is not there${given ? ` (${given})` : ''}`;
  throw new PgconvoyError(
    `${side}, database "${name}": the replication slot ${slotName(name)} ${state}, so the ${context.target.side} cannot get the missing rows`,
    {
      hint:
        side === 'target'
          ? 'Without it there is no way back that keeps all rows: only a new upgrade in the other direction would help. `pgconvoy finish` ends what is left of it.'
          : (slot.lost === 'wal_removed' ? 'Raise max_slot_wal_keep_size on the source, or give it more disk. ' : '') +
            'Then run `pgconvoy start` again: it makes a new slot and copies this one database anew.',
    },
  );
}
