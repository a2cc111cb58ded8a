import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { conninfo } from '../../postgres/conninfo.ts';
import { libpqSslMode } from '../../postgres/programs.ts';
import { replicationSecret } from './secret.ts';

/**
 * The connection string by which the target's workers reach a database of the source: the replication role, at the address
 * that `source.fromTarget` gives (`target.fromSource` on the way back), else at the one we use ourselves. Holds a password: never log it.
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
 * @throws PgconvoyError where the replication role has not been made yet
 */
export async function replicationConninfo(
  context: Pick<OperationContext, 'targetLedger' | 'sourceCluster' | 'targetCluster' | 'settings'>,
  database: string,
): Promise<string> {
  return conninfo({
    ...fromOtherServer(context),
    ...(await login(context, database)),
  });
}

/** Where the target's server reaches the source's: each of the two clusters may go by another address for the other one. */
export function fromOtherServer({ sourceCluster, settings }: Pick<OperationContext, 'sourceCluster' | 'settings'>) {
  const { address } = sourceCluster.cluster;
  const told = sourceCluster.side === 'source' ? settings.source.fromTarget : settings.target.fromSource;
  return {
    host: told.host ?? address.host,
    port: told.port ?? address.port,
    sslmode: told.sslmode ?? libpqSslMode(address),
  };
}

/**
 * The one by which the target reaches itself, where an engine needs that: the replication role there, at the address we use
 * ourselves. Holds a password: never log it.
 * @throws PgconvoyError where the replication role has not been made yet
 */
export async function targetConninfo(
  context: Pick<OperationContext, 'targetLedger' | 'targetCluster' | 'settings'>,
  database: string,
): Promise<string> {
  const { address } = context.targetCluster.cluster;
  return conninfo({
    host: address.host,
    port: address.port,
    sslmode: libpqSslMode(address),
    ...(await login(context, database)),
  });
}

async function login(context: Pick<OperationContext, 'targetLedger' | 'targetCluster' | 'settings'>, dbname: string) {
  const { role } = context.settings.replication;
  const password = await replicationSecret(context);
  if (password === undefined) {
    const { side } = context.targetCluster;
    throw new PgconvoyError(`${side}: the password of the replication role "${role}" is not there`, {
      hint: `Run \`pgconvoy ${side === 'target' ? 'setup' : 'stop'}\`: it makes the role on the ${side === 'target' ? 'source' : 'target'} and keeps its password in the ${side}'s ledger.`,
    });
  }
  return { dbname, user: role, password, connect_timeout: 10 };
}
