import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { pairOf } from '../replication/pair.ts';
import { ANEW, databasesNamed } from './agreement.ts';
import { lookAtFences } from './fence.ts';

/**
 * Right before the decision: nothing is opened that the fence does not guard, or that the target does not have to its last row. One look
 * at all fences and one question for all slots.
 * @param contexts of one run
 * @throws PgconvoyError that names the databases that are not ready, and why
 */
export async function requireReady(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const looks = await lookAtFences(contexts);
  const unfenced = contexts.filter(({ source }) => !looks.get(source.name)?.fence);
  const [open] = unfenced;
  if (open) {
    const missing = looks.get(open.source.name)?.missing ?? [];
    const names = unfenced.map(({ source }) => source.name);
    throw notReady(
      first,
      names,
      `the fence does not stand (missing: ${missing.join(', ')}), so writes may have been made that the ${first.target.side} lacks`,
    );
  }
  const awaited = contexts.flatMap((context) => {
    const { fence } = looks.get(context.source.name)!;
    return fence ? [{ pair: pairOf(context), lsn: fence.lsn }] : [];
  });
  const late = await first.engine.unreached(awaited);
  if (late.length > 0)
    throw notReady(first, late, `the ${first.target.side} has not confirmed everything up to the fence`);
}

const notReady = ({ source, run }: OperationContext, databases: readonly string[], reason: string): PgconvoyError =>
  new PgconvoyError(`${source.side}, ${databasesNamed(databases)}: ${reason}`, { hint: ANEW(run) });
