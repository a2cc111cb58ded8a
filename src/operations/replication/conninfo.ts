import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { conninfo } from '../../postgres/conninfo.ts';
import { libpqSslMode } from '../../postgres/programs.ts';
import { replicationSecret } from './secret.ts';

/**
 * The connection string by which the target's workers reach a database of the source: the replication role, at the address
 * that `source.fromTarget` gives, else at the one we use ourselves. Holds a password: never log it.
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
 * @throws PgconvoyError where the replication role has not been made yet
 */
export async function replicationConninfo(
  context: Pick<OperationContext, 'targetLedger' | 'sourceCluster' | 'settings'>,
  database: string,
): Promise<string> {
  const { fromTarget } = context.settings.source;
  const { address } = context.sourceCluster.cluster;
  return conninfo({
    host: fromTarget.host ?? address.host,
    port: fromTarget.port ?? address.port,
    sslmode: fromTarget.sslmode ?? libpqSslMode(address),
    ...(await login(context, database)),
  });
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

async function login(context: Pick<OperationContext, 'targetLedger' | 'settings'>, dbname: string) {
  const { role } = context.settings.replication;
  const password = await replicationSecret(context);
  if (password === undefined) {
    throw new PgconvoyError(`target: the password of the replication role "${role}" is not there`, {
      hint: 'Run `pgconvoy setup`: it makes the role on the source and keeps its password in the target’s ledger.',
    });
  }
  return { dbname, user: role, password, connect_timeout: 10 };
}
