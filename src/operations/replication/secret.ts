import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';

const Secret = z.object({ password: z.string() });

/** Where the replication role's password is kept: in the target's ledger alone, which superusers alone can read. */
export const secretKey = (role: string) => ({ kind: 'replication-secret', object: role });

/** The replication role's password, or undefined where none was made yet. Never log it. */
export async function replicationSecret({
  targetLedger,
  settings,
}: Pick<OperationContext, 'targetLedger' | 'settings'>): Promise<string | undefined> {
  const entry = await targetLedger.find(secretKey(settings.replication.role));
  return entry && Secret.parse(entry.before).password;
}
