import type { Settings } from '../config/schema.ts';
import { ConfigError, ExitCode, PgconvoyError } from '../errors.ts';
import { ServerState, serverState } from '../postgres/catalog/listed-databases.ts';
import type { BoundCluster, Side } from '../postgres/cluster.ts';
import { DatabaseError } from '../postgres/errors.ts';
import { majorOf } from '../postgres/versions.ts';
import type { Clusters } from './context.ts';

/** The oldest source of each engine. */
const OLDEST: Readonly<Record<Settings['engine'], number>> = { auto: 9.4, native: 10, pglogical: 9.4 };

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
  const [from, to] = [majorOf(source.versionNum), majorOf(target.versionNum)];
  const { engine } = clusters.settings;
  if (from < OLDEST[engine]) {
    throw new ConfigError(
      `the source is PostgreSQL ${source.version}: ${engine === 'native' ? 'native logical replication' : 'logical replication of any kind'} begins with ${OLDEST[engine]}`,
      {
        hint:
          engine === 'native' && from >= OLDEST.pglogical
            ? 'Set engine: pglogical (or auto) in the configuration.'
            : `Bring the source to ${OLDEST[engine]} or later first.`,
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

/**
 * Which of these servers cannot be reached or refuse us, with the reason.
 * @throws what is no answer of a server
 */
export async function serversAway(
  clusters: Clusters,
  sides: readonly Side[],
  signal: AbortSignal,
): Promise<ReadonlyMap<Side, PgconvoyError>> {
  const away = new Map<Side, PgconvoyError>();
  await Promise.all(
    sides.map(async (side) => {
      const cluster = clusters[side].bind({ applicationName: 'pgconvoy/preflight', signal });
      try {
        await meet(cluster);
      } catch (error) {
        if (!(error instanceof PgconvoyError)) throw error;
        away.set(side, error);
      } finally {
        await cluster.close();
      }
    }),
  );
  return away;
}

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
