import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { InventoryItem, inventoryDifference } from '../../postgres/catalog/inventory.ts';
import type { Sql } from '../../postgres/sql.ts';
import { lookForDrift } from './look.ts';

/** In an error message. */
const SHOWN = 5;

/**
 * What was missing on the target has been made; what is there and otherwise needs a person.
 * @throws PgconvoyError that says for each object what was changed and what to run
 */
export async function refuseChanged(context: OperationContext, inventory: Sql): Promise<void> {
  const { source, target } = context;
  const [wanted, present] = await Promise.all([source, target].map((side) => side.many(InventoryItem, inventory)));
  if (inventoryDifference(wanted!, present!).length === 0) return;
  const { findings } = await lookForDrift(context, false);
  if (findings.length === 0) return;
  const shown = findings.slice(0, SHOWN);
  const more = findings.length > SHOWN ? `; and ${findings.length - SHOWN} more, see pgconvoy status` : '';
  throw new PgconvoyError(
    `database "${source.name}": the schema of the source has changed since it was copied: ${shown.map(({ message }) => message).join('; ')}${more}`,
    { hint: `${shown.map(({ remedy }) => remedy).join(' ')} Then retry the step.` },
  );
}
