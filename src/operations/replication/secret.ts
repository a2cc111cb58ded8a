import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { Ledger } from '../../postgres/ledger.ts';

const Secret = z.object({ password: z.string() });

/** Where the replication role's password is kept: in the ledger of the cluster that logs in with it, which superusers alone can read. */
export const secretKey = (role: string) => ({ kind: 'replication-secret', object: role });

/** The replication role's password, or undefined where none was made yet. Never log it. */
export const replicationSecret = ({
  targetLedger,
  settings,
}: Pick<OperationContext, 'targetLedger' | 'settings'>): Promise<string | undefined> =>
  secretIn(targetLedger, settings.replication.role);

/** The password of this role that a ledger keeps. */
export async function secretIn(ledger: Ledger, role: string): Promise<string | undefined> {
  const entry = await ledger.find(secretKey(role));
  return entry && Secret.parse(entry.before).password;
}
