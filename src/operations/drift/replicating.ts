import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { refuseWhenOpened } from '../cutover/opened.ts';
import { fenceKey } from '../cutover/fence.ts';
import { schemaState } from '../schema/schema-state.ts';

/**
 * Changing both sides makes sense from the end of the copy to the begin of the cutover.
 * @throws PgconvoyError that says what to do instead
 */
export async function refuseUnlessReplicating(context: OperationContext, what: string): Promise<void> {
  const { source, sourceLedger } = context;
  await refuseWhenOpened(context, what);
  if (await sourceLedger.find(fenceKey(source.name))) {
    throw new PgconvoyError(`source, database "${source.name}": it is being switched over, so ${what} is refused`, {
      hint: 'Wait until it is open on the target, or `pgconvoy cancel` the run first.',
    });
  }
  const state = await schemaState(context);
  if (state === 'complete') return;
  throw new PgconvoyError(
    state === 'nothing'
      ? `target, database "${source.name}": pgconvoy has not copied its schema yet, so there are no two sides to change`
      : `target, database "${source.name}": its copy is not finished, so ${what} is refused`,
    {
      hint:
        state === 'nothing'
          ? 'Run the statement on the source alone; `pgconvoy setup` copies what it finds there.'
          : 'Run `pgconvoy start`, wait for its end, and run the command again.',
    },
  );
}
