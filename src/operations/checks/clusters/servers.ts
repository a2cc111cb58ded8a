import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { PgconvoyError } from '../../../errors.ts';
import { Session, session } from '../../../postgres/catalog/server.ts';
import type { ClusterFacts, Side } from '../../../postgres/cluster.ts';
import { id } from '../../../postgres/sql.ts';
import type { EngineName } from '../../../replication/engine.ts';
import { majorOf } from '../../../postgres/versions.ts';

/** Of the source, by engine. */
const OLDEST: Readonly<Record<EngineName, number>> = { native: 10, pglogical: 9.4 };
const OLDEST_TARGET = 10;
const NEWEST = 18;

/** Both versions are known to the engine, the target is not the older one, and they are two clusters. */
export const versions: Concern = {
  name: 'versions',
  side: 'target',
  asks: ['source', 'target'],
  async look({ sourceCluster, targetCluster, engine }) {
    const [source, target] = [await sourceCluster.facts(), await targetCluster.facts()];
    return [
      {
        id: 'versions',
        title: 'versions',
        detail: `${source.major} to ${target.major}, engine ${engine.name}`,
        findings: judgeVersions(source, target, engine.name),
      },
    ];
  },
};

export function judgeVersions(source: ClusterFacts, target: ClusterFacts, engine: EngineName): CheckFinding[] {
  const found: CheckFinding[] = [];
  for (const [side, facts, oldest] of [
    ['source', source, OLDEST[engine]],
    ['target', target, OLDEST_TARGET],
  ] as const) {
    if (facts.major >= oldest && facts.major <= NEWEST) continue;
    const old = facts.major < oldest;
    found.push({
      code: 'version-unsupported',
      severity: old ? 'block' : 'warning',
      side,
      message: `The ${side} is PostgreSQL ${facts.major}; ${old ? `a ${side} begins with ${oldest} (engine ${engine})` : `what was tried ends with ${NEWEST}`}.`,
      remedy: `Use a ${side} of PostgreSQL ${oldest} to ${NEWEST}${old ? '' : ', or rehearse with a copy first'}${old && engine === 'native' && side === 'source' ? ', or engine: pglogical' : ''}.`,
    });
  }
  if (target.major < source.major) {
    found.push({
      code: 'target-older',
      severity: 'block',
      side: 'target',
      message: `The target is PostgreSQL ${target.major}, older than the source (${source.major}).`,
      remedy: `Point target.host and target.port at a server of PostgreSQL ${source.major} or newer; perhaps source and target are swapped.`,
    });
  }
  if (source.systemIdentifier === target.systemIdentifier) {
    found.push({
      code: 'same-cluster',
      severity: 'block',
      side: 'target',
      message: `Source and target have the same system identifier (${source.systemIdentifier}): they are one cluster, or one is a physical copy of the other.`,
      remedy: 'Make the target with initdb and point target.host and target.port at it.',
    });
  }
  return found;
}

/** A server lets us in, is no standby, and our user may do everything there. */
const server = (side: Side): Concern => ({
  name: `connection to the ${side}`,
  side,
  // Asked however it is: that it does not answer is what this point has to say.
  asks: [],
  async look(context) {
    const { cluster } = context[`${side}Cluster`];
    const { host, port, user } = cluster.address;
    const address = host.startsWith('/') ? `${host}, port ${port}` : `${host}:${port}`;
    const connection = { id: 'connection', title: 'connection' };
    try {
      const { versionNum } = await context[`${side}Cluster`].facts();
      const seen = await context[`${side}Cluster`].maintenance.one(Session, session());
      return [
        { ...connection, detail: `${address} as "${user}", PostgreSQL ${versionOf(versionNum)}`, findings: [] },
        { id: 'user', title: 'user', detail: `"${seen.user}"`, findings: judgeSession(side, seen) },
      ];
    } catch (error) {
      context.signal.throwIfAborted();
      // Where the command has reached it, it is only away for a moment.
      if (!(error instanceof PgconvoyError) || !context.run.options[`${side}Away`]) throw error;
      return [{ ...connection, detail: address, findings: [judgeUnreachable(side, address, error)] }];
    }
  },
});
export const sourceServer = server('source');
export const targetServer = server('target');

const versionOf = (versionNum: number): string =>
  versionNum >= 100_000
    ? `${Math.floor(versionNum / 10_000)}.${versionNum % 10_000}`
    : `${majorOf(versionNum)}.${versionNum % 100}`;

const judgeUnreachable = (side: Side, address: string, error: PgconvoyError): CheckFinding => ({
  code: 'server-unreachable',
  severity: 'block',
  side,
  object: address,
  message: `The ${side} at ${address} cannot be reached or refuses us: ${error.message}. What else there is to check on it was not looked at.`,
  remedy: error.hint,
});

export function judgeSession(side: Side, user: Session): CheckFinding[] {
  const found: CheckFinding[] = [];
  if (user.inRecovery) {
    found.push({
      code: 'standby',
      severity: 'block',
      side,
      message: `The ${side} is a standby (in recovery): nothing can be changed on it.`,
      remedy: `Point ${side}.host and ${side}.port at the primary.`,
    });
  }
  if (!user.superuser) {
    const lacking = [
      ...(user.replication ? [] : ['REPLICATION']),
      ...(user.createRole ? [] : ['CREATEROLE']),
      ...(user.createDatabase ? [] : ['CREATEDB']),
    ];
    found.push({
      code: 'not-superuser',
      severity: 'block',
      side,
      object: user.user,
      message: `The user "${user.user}" of the ${side} lacks SUPERUSER${lacking.length > 0 ? ` (and ${lacking.join(', ')})` : ''}, which ${side === 'source' ? 'publications of all tables and the fence' : 'subscriptions and objects of all owners'} need.`,
      remedy: `On the ${side}, as a superuser: ALTER ROLE ${id(user.user).text} SUPERUSER; or set ${side}.user to a superuser.`,
    });
  }
  return found;
}
