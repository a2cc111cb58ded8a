import { randomBytes } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { PgconvoyError } from '../../../errors.ts';
import type { OperationContext } from '../../../engine/operation.ts';
import { HostRule, hostRules, Session, session } from '../../../postgres/catalog/server.ts';
import { conninfo } from '../../../postgres/conninfo.ts';
import type { Database } from '../../../postgres/database.ts';
import { libpqSslMode } from '../../../postgres/programs.ts';
import { inSecrecy } from '../../../postgres/secrecy.ts';
import { id, lit, sql } from '../../../postgres/sql.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** The target server itself reaches the source, and pg_hba.conf there will let the replication role in. */
export const reachability: Concern = {
  name: 'the way from the target to the source',
  side: 'source',
  async look(context) {
    const answer = await callSource(context);
    const { address } = await context.target.one(Session, session());
    return [
      ...judgeAnswer(answer, whereTo(context)),
      ...judgeHostRules(await context.source.many(HostRule, hostRules()), {
        role: context.settings.replication.role,
        databases: context.run.databases,
        ...callerOf(answer, whereTo(context).host, address),
      }),
    ];
  },
};

interface Address {
  readonly host: string;
  readonly port: number;
}

const whereTo = ({ settings, sourceCluster: { cluster } }: OperationContext): Address => ({
  host: settings.source.fromTarget.host ?? cluster.address.host,
  port: settings.source.fromTarget.port ?? cluster.address.port,
});

/** What the source answered to the target: undefined when it let us in, else the error's text without the password. */
type Answer = string | undefined;

class LetIn extends Error {}

/**
 * Has the target connect to the source as its apply workers will, by a CREATE SUBSCRIPTION that is rolled back. It makes no slot.
 * @see https://www.postgresql.org/docs/current/sql-createsubscription.html
 */
async function callSource(context: OperationContext): Promise<Answer> {
  const { address } = context.sourceCluster.cluster;
  const password = address.password ?? '';
  const name = `pgconvoy_probe_${randomBytes(6).toString('hex')}`;
  const connection = conninfo({
    ...whereTo(context),
    user: address.user,
    password,
    dbname: context.source.name,
    sslmode: context.settings.source.fromTarget.sslmode ?? libpqSslMode(address),
    connect_timeout: Math.max(2, Math.ceil(address.connectTimeoutMs / 1_000)),
  });
  // A refused connection has an SQLSTATE that looks like a lost session of our own: so in a session apart.
  const target: Database = context.target.fork();
  try {
    await inSecrecy(target, [connection, password], async () => {
      await target.run(sql`set local client_min_messages = error`);
      await target.run(
        sql`create subscription ${id(name)} connection ${lit(connection)} publication ${id(name)}
              with (connect = true, enabled = false, create_slot = false, slot_name = none, copy_data = false)`,
      );
      throw new LetIn();
    });
    return undefined;
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof LetIn) return undefined;
    if (error instanceof PgconvoyError && /could not connect to the publisher/.test(error.message))
      return error.message;
    throw error;
  } finally {
    await target.close();
  }
}

/** The source was reached, if it only turned away the user we took: the replication role has a password and lines of its own. */
const REACHED =
  /pg_hba\.conf|authentication failed|no password supplied|start walsender|start WAL sender|max_wal_senders|too many clients|connection slots/;

export function judgeAnswer(answer: Answer, to: Address): CheckFinding[] {
  if (answer === undefined || REACHED.test(answer)) return [];
  const tls = /SSL|certificate/i.test(answer);
  return [
    {
      code: 'source-unreachable',
      severity: 'block',
      side: 'target',
      object: `${to.host}:${to.port}`,
      message: `The target cannot connect to the source at ${to.host}:${to.port}: ${answer}`,
      remedy: tls
        ? 'Set source.fromTarget.sslmode to what the source offers and the target trusts.'
        : "Set source.fromTarget.host and port to the address by which the target's machine reaches the source; on the source see listen_addresses, and firewalls between the two.",
    },
  ];
}

export interface Caller {
  readonly role: string;
  readonly databases: readonly string[];
  /** The target's address as the source sees it; undefined over a unix socket, or where nobody knows. */
  readonly address: string | undefined;
  readonly socket: boolean;
  /** The source itself has named that address; else it is the one by which we reach the target. */
  readonly certain: boolean;
}

/** pg_hba.conf's refusal names the address it saw. */
export function callerOf(
  answer: Answer,
  host: string,
  address: string | null,
): Pick<Caller, 'address' | 'socket' | 'certain'> {
  const [, seen] = /pg_hba\.conf.*?["«„“]([0-9A-Fa-f.:]+|\[local\])["»“”]/s.exec(answer ?? '') ?? [];
  if (seen === '[local]' || host.startsWith('/')) return { address: undefined, socket: true, certain: true };
  if (seen !== undefined && isIP(seen)) return { address: seen, socket: false, certain: true };
  return { address: address ?? undefined, socket: false, certain: false };
}

/**
 * Whether the first line that fits lets the replication role in, for each database. What cannot be evaluated from here (host names,
 * regular expressions, samenet) counts as letting in: better no finding than a wrong one.
 * @see https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
 */
export function judgeHostRules(rules: readonly HostRule[], caller: Caller): CheckFinding[] {
  const refused = caller.databases.filter((database) => {
    const first = rules.find((rule) => {
      const fit = fits(rule, database, caller);
      return fit === 'yes' || (fit === 'perhaps' && rule.method !== 'reject');
    });
    return first === undefined || first.method === 'reject';
  });
  if (refused.length === 0) return [];
  const all = refused.length === caller.databases.length;
  const column = all ? 'all' : refused.map((name) => `"${name.replaceAll('"', '""')}"`).join(',');
  const from = caller.socket ? 'a socket' : (caller.address ?? "the target's address");
  const line = caller.socket
    ? `local ${column} ${caller.role} scram-sha-256`
    : `host ${column} ${caller.role} ${network(caller.address)} scram-sha-256`;
  return [
    {
      code: 'pg-hba',
      severity: caller.certain ? 'block' : 'warning',
      side: 'source',
      object: 'pg_hba.conf',
      message: `pg_hba.conf of the source does not let the role ${caller.role} in from ${from}, for ${all ? 'any database' : `${refused.length} of ${caller.databases.length} databases`}.`,
      remedy: `Add to pg_hba.conf of the source, above lines that fit the same: ${line} – then: SELECT pg_reload_conf(); (a line for "replication" is not needed)`,
    },
  ];
}

function network(address: string | undefined): string {
  if (address === undefined) return 'TARGET-ADDRESS/32';
  return isIP(address) === 6 ? `${address}/128` : `${address}/32`;
}

type Fit = 'yes' | 'perhaps' | 'no';

function fits(rule: HostRule, database: string, caller: Caller): Fit {
  if ((rule.type === 'local') !== caller.socket) return 'no';
  const each = new Set([
    listFits(rule.databases, database),
    listFits(rule.users, caller.role),
    addressFits(rule, caller),
  ]);
  if (each.has('no')) return 'no';
  return each.has('perhaps') ? 'perhaps' : 'yes';
}

function listFits(listed: readonly string[], name: string): Fit {
  if (listed.includes('all') || listed.includes(name)) return 'yes';
  return listed.some((entry) => entry.startsWith('/')) ? 'perhaps' : 'no';
}

function addressFits({ address, netmask }: HostRule, caller: Caller): Fit {
  if (caller.socket || address === null || address === 'all') return 'yes';
  const family = isIP(address);
  if (family === 0 || caller.address === undefined) return 'perhaps';
  if (family !== isIP(caller.address)) return 'no';
  const type = family === 6 ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(address, netmask === null ? (family === 6 ? 128 : 32) : bits(netmask), type);
  return list.check(caller.address, type) ? 'yes' : 'no';
}

/** Ones of a netmask: 255.255.255.0 is 24, ffff:ff00:: is 24. */
function bits(netmask: string): number {
  const words = netmask.includes(':')
    ? netmask.split(':').map((word) => Number.parseInt(word === '' ? '0' : word, 16))
    : netmask.split('.').map(Number);
  return words.reduce((sum, word) => sum + word.toString(2).replaceAll('0', '').length, 0);
}
