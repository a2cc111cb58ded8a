import type { OperationContext } from '../../../engine/operation.ts';
import { swapped } from '../../replication/way-back.ts';
import { createReplicationRole } from '../../roles/create-replication-role.ts';

/** Notes that the replication role was made for the canary alone. */
const noteOf = ({ settings }: OperationContext) => ({ kind: 'canary-role', object: settings.replication.role });

/**
 * Lends the canary the replication role by its real name, since pg_hba.conf may name it: where setup has not made it yet, it is
 * made now and taken away by `dropScratchRole`.
 * @returns false where the role or its password is there and they do not fit: then nothing is changed, for setup puts that right
 */
export async function lendRole(context: OperationContext): Promise<boolean> {
  const job = { ...context, input: {} };
  const verdict = await createReplicationRole.check(job);
  if (verdict.holds) return true;
  if (!(verdict.missing.includes('role') && verdict.missing.includes('secret'))) return false;
  await context.sourceLedger.record(noteOf(context), null);
  await createReplicationRole.apply?.(job, verdict.missing);
  return true;
}

/**
 * The same role for the way back, on the target. Only where it was made for the canary alone, and goes with it, or is there as it should be:
 * what setup has made is not changed by a look.
 */
export async function lendRoleBack(context: OperationContext): Promise<boolean> {
  const back = { ...swapped(context), input: {} };
  const verdict = await createReplicationRole.check(back);
  if (verdict.holds) return true;
  if (!(await context.sourceLedger.find(noteOf(context)))) return false;
  await createReplicationRole.apply?.(back, verdict.missing);
  return true;
}

/** Takes the role away again, if the canary has made it. */
export async function dropScratchRole(context: OperationContext): Promise<boolean> {
  if (!(await context.sourceLedger.find(noteOf(context)))) return false;
  await createReplicationRole.undo?.({ ...context, input: {} });
  await context.sourceLedger.forget(noteOf(context));
  return true;
}
