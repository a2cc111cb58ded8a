import { ConfigError, ExitCode, PgconvoyError } from '../errors.ts';
import { ServerState, serverState } from '../postgres/catalog/listed-databases.ts';
import type { BoundCluster } from '../postgres/cluster.ts';
import { DatabaseError } from '../postgres/errors.ts';
import type { Clusters } from './context.ts';

/** Below this major there is no native logical replication. */
const OLDEST_MAJOR = 10;

export interface MetServers {
  readonly source: ServerState;
  readonly target: ServerState;
  readonly warnings: readonly string[];
}

/**
 * Connects to both clusters and sees that an upgrade from the one to the other makes sense at all, before a run is enqueued. Changes
 * nothing.
 * @throws UnreachableError (or a PgconvoyError with its exit code) when one cannot be reached or refuses us; ConfigError when the two do
 * not fit
 */
export async function meetServers(clusters: Clusters, signal: AbortSignal): Promise<MetServers> {
  const [source, target] = await meetBoth(clusters, signal);
  if (source.systemIdentifier === target.systemIdentifier && source.startedAt === target.startedAt) {
    throw new ConfigError('source and target are the same cluster', {
      hint: `Both addresses lead to the server with system identifier ${source.systemIdentifier}: correct host or port of one of them.`,
    });
  }
  for (const [side, state] of [
    ['source', source],
    ['target', target],
  ] as const) {
    if (!state.inRecovery) continue;
    throw new ConfigError(`the ${side} is a standby: nothing can be written there`, {
      hint: `Set ${side}.host and ${side}.port to its primary.`,
    });
  }
  const [from, to] = [majorOf(source), majorOf(target)];
  if (from < OLDEST_MAJOR) {
    throw new ConfigError(
      `the source is PostgreSQL ${source.version}: native logical replication begins with ${OLDEST_MAJOR}`,
      {
        hint: `Bring the source to ${OLDEST_MAJOR} or later first.`,
      },
    );
  }
  if (to < from) {
    throw new ConfigError(
      `the target (PostgreSQL ${target.version}) is older than the source (PostgreSQL ${source.version})`,
      {
        hint: `Give a target of major ${from} or later; if the two are swapped, swap source and target in the configuration.`,
      },
    );
  }
  const warnings =
    to === from
      ? [`source and target are both PostgreSQL ${from}: this moves the databases, but upgrades nothing`]
      : [];
  return { source, target, warnings };
}

/** Majors before 10 had two parts: they all count as 9. */
const majorOf = ({ versionNum }: ServerState): number => Math.floor(versionNum / 10_000);

async function meetBoth(clusters: Clusters, signal: AbortSignal): Promise<[ServerState, ServerState]> {
  const binding = { applicationName: 'pgconvoy/preflight', signal };
  const both = [clusters.source.bind(binding), clusters.target.bind(binding)] as const;
  try {
    const [source, target] = await Promise.allSettled(both.map((cluster) => meet(cluster)));
    if (source?.status === 'fulfilled' && target?.status === 'fulfilled') return [source.value, target.value];
    const errors = [source, target].flatMap((result): unknown[] =>
      result?.status === 'rejected' ? [result.reason] : [],
    );
    throw errors.length === 1 ? errors[0] : together(errors);
  } finally {
    await Promise.all(both.map((cluster) => cluster.close()));
  }
}

async function meet(cluster: BoundCluster): Promise<ServerState> {
  try {
    return await cluster.maintenance.one(ServerState, serverState());
  } catch (error) {
    throw explained(error, cluster);
  }
}

/** A server that refuses us at the door is a matter of the configuration: said in its words, with its exit code. */
export function explained(error: unknown, { side, cluster }: BoundCluster): unknown {
  const { host, port, user } = cluster.address;
  const at = host.startsWith('/') ? `${host}, port ${port}` : `${host}:${port}`;
  if (!(error instanceof PgconvoyError)) return error;
  if (!(error instanceof DatabaseError)) {
    return new PgconvoyError(`${error.message} (${at})`, {
      hint: error.hint,
      exitCode: error.exitCode,
      disposition: error.disposition,
      cause: error,
    });
  }
  const refused = (message: string, hint: string, exitCode: ExitCode) =>
    new PgconvoyError(message, { hint, exitCode, cause: error });
  switch (error.sqlstate) {
    case '28P01':
      return refused(
        `the ${side} at ${at} refuses the password of user "${user}"`,
        `Correct ${side}.password (or passwordFile, PGPASSWORD, .pgpass), or ${side}.user.`,
        ExitCode.unreachable,
      );
    case '28000':
      return refused(`the ${side} at ${at} refuses user "${user}": ${error.message}`, error.hint, ExitCode.unreachable);
    case '3D000':
      return refused(
        `the ${side} at ${at} has no database "${cluster.maintenanceDatabase}"`,
        `Set ${side}.database (or PGDATABASE) to a database that is there, usually postgres.`,
        ExitCode.usage,
      );
    default:
      return refused(`the ${side} at ${at} does not let us in: ${error.message}`, error.hint, ExitCode.unreachable);
  }
}

function together(errors: readonly unknown[]): unknown {
  const known = errors.filter((error) => error instanceof PgconvoyError);
  if (known.length < errors.length) return errors[0];
  const hints = [...new Set(known.map(({ hint }) => hint))];
  return new PgconvoyError(known.map(({ message }) => message).join('\n'), {
    hint: hints.join('\n  → '),
    exitCode: known.every(({ exitCode }) => exitCode === ExitCode.usage) ? ExitCode.usage : ExitCode.unreachable,
    cause: known[0],
  });
}
