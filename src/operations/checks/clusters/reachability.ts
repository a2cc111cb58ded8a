import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { PgconvoyError } from '../../../errors.ts';
import type { OperationContext } from '../../../engine/operation.ts';
import { Session, session } from '../../../postgres/catalog/server.ts';
import type { HostRule } from '../../../postgres/catalog/server.ts';
import { conninfo } from '../../../postgres/conninfo.ts';
import type { Database } from '../../../postgres/database.ts';
import { readHostRules } from '../../../postgres/host-rules.ts';
import { inSecrecy } from '../../../postgres/secrecy.ts';
import { id, lit, sql } from '../../../postgres/sql.ts';
import { offers } from '../../../postgres/versions.ts';
import { fromOtherServer } from '../../replication/conninfo.ts';
import { isAsked } from '../concern.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** The target server itself reaches the source. */
export const reachability: Concern = {
  name: 'the way to the source',
  side: 'target',
  asks: ['source', 'target'],
  async look(context) {
    const { host, port } = whereTo(context);
    const findings = judgeAnswer(await answerOf(context), { host, port });
    return [{ id: 'the-way-to-the-source', title: 'the way to the source', detail: `${host}:${port}`, findings }];
  },
};

/** pg_hba.conf of the source will let the replication role in from the target. */
export const hostRules: Concern = {
  name: 'pg_hba.conf',
  side: 'source',
  async look(context) {
    const { sourceCluster, source, settings, run } = context;
    const { major } = await sourceCluster.facts();
    const rules = await readHostRules(source, offers(major, 'hbaFileRules'));
    const caller = {
      role: settings.replication.role,
      databases: run.databases,
      major,
      tls: speaksTls(fromOtherServer(context).sslmode),
      ...(await whoCalls(context)),
    };
    const from = caller.socket ? 'a socket' : (caller.addresses[0] ?? "the target's address");
    return [
      {
        id: 'pg_hba.conf',
        title: 'pg_hba.conf',
        detail: `${caller.role} from ${from}`,
        findings: judgeHostRules(rules, caller),
      },
    ];
  },
};

/** `allow` and `prefer` take what they get. */
function speaksTls(sslmode: string): boolean | undefined {
  if (sslmode === 'disable') return false;
  return sslmode === 'allow' || sslmode === 'prefer' ? undefined : true;
}

/** What the source sees of the target: as it has said itself, or else as the target is reached from here. */
async function whoCalls(context: OperationContext): Promise<Pick<Caller, 'addresses' | 'socket' | 'certain'>> {
  const { host } = whereTo(context);
  const { options } = context.run;
  const target = context.targetCluster.cluster.address.host;
  if (!isAsked('target', options)) return callerOf(undefined, host, await resolved(target));
  const { address } = await context.target.one(Session, session());
  return callerOf(await answerOf(context), host, address === null ? await resolved(target) : [address]);
}

/** All addresses of a name, of both families; none of a socket's folder or of a name that is unknown. */
async function resolved(host: string): Promise<string[]> {
  if (host.startsWith('/')) return [];
  return (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => address);
}

const answers = new WeakMap<OperationContext, Promise<Answer>>();

/** Asked once per job: two points of the check depend on it. */
function answerOf(context: OperationContext): Promise<Answer> {
  const asked = answers.get(context) ?? callSource(context);
  answers.set(context, asked);
  return asked;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

const whereTo = (context: OperationContext): Address => {
  const { host, port } = fromOtherServer(context);
  return { host, port };
};

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
    sslmode: fromOtherServer(context).sslmode,
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
  /** Of the source. */
  readonly major: number;
  /** The target's as the source sees it, or may see it; none over a unix socket, or where nobody knows. */
  readonly addresses: readonly string[];
  readonly socket: boolean;
  /** Whether it will speak TLS; undefined where that depends on the servers. */
  readonly tls?: boolean | undefined;
  /** The source itself has named that address; else it is the one by which we reach the target. */
  readonly certain: boolean;
}

/** pg_hba.conf's refusal names the address it saw. */
export function callerOf(
  answer: Answer,
  host: string,
  addresses: readonly string[],
): Pick<Caller, 'addresses' | 'socket' | 'certain'> {
  const [, seen] = /pg_hba\.conf.*?["«„“]([0-9A-Fa-f.:]+|\[local\])["»“”]/s.exec(answer ?? '') ?? [];
  if (seen === '[local]' || host.startsWith('/')) return { addresses: [], socket: true, certain: true };
  if (seen !== undefined && isIP(seen)) return { addresses: [seen], socket: false, certain: true };
  return { addresses, socket: false, certain: false };
}

/**
 * Whether the first line that fits lets the replication role in, for each database. What cannot be evaluated from here (host names,
 * groups, regular expressions, samenet, whether TLS is spoken) counts as letting in: better no finding than a wrong one.
 * @see https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
 */
export function judgeHostRules(rules: readonly HostRule[], caller: Caller): CheckFinding[] {
  const addresses = caller.addresses.length === 0 ? [undefined] : caller.addresses;
  const turnedAway = caller.databases.filter((database) =>
    addresses.every((address) => !letsIn(rules, database, caller, address)),
  );
  if (turnedAway.length === 0) return [];
  const all = turnedAway.length === caller.databases.length;
  const from = caller.socket ? 'a socket' : caller.addresses.join(' or ') || "the target's address";
  const lines = linesFor(caller, all ? 'all' : turnedAway.map(hbaWord).join(','));
  return [
    {
      code: 'pg-hba',
      severity: caller.certain ? 'block' : 'warning',
      side: 'source',
      object: 'pg_hba.conf',
      message: `pg_hba.conf of the source does not let the role ${caller.role} in from ${from}, for ${all ? 'any database' : `${turnedAway.length} of ${caller.databases.length} databases`}.`,
      remedy: `Add to pg_hba.conf of the source, above lines that fit the same:\n${lines.join('\n')}\nthen, on the source: SELECT pg_reload_conf();`,
    },
  ];
}

function letsIn(rules: readonly HostRule[], database: string, caller: Caller, address: string | undefined): boolean {
  const first = rules.find((rule) => {
    const fit = fits(rule, database, caller, address);
    return fit === 'yes' || (fit === 'perhaps' && rule.method !== 'reject');
  });
  return first !== undefined && first.method !== 'reject';
}

/** One for each address; this machine goes by two. Before 10 some walsenders are let in by "replication" only. */
function linesFor({ role, addresses, socket, major }: Caller, databases: string): string[] {
  const method = offers(major, 'scramPasswords') ? 'scram-sha-256' : 'md5';
  const columns = offers(major, 'hbaFileRules') ? [databases] : [databases, 'replication'];
  const places = socket
    ? ['local']
    : [...new Set(addresses.flatMap((address) => (LOOPBACK.includes(address) ? LOOPBACK : [address])))].map(network);
  return (places.length === 0 ? ['TARGET-ADDRESS/32'] : places).flatMap((place) =>
    columns.map((column) =>
      place === 'local'
        ? `local ${column} ${hbaWord(role)} ${method}`
        : `host ${column} ${hbaWord(role)} ${place} ${method}`,
    ),
  );
}

const LOOPBACK = ['127.0.0.1', '::1'];

const network = (address: string): string => (isIP(address) === 6 ? `${address}/128` : `${address}/32`);

/** A name as pg_hba.conf reads it back. */
const hbaWord = (name: string): string =>
  /^\w[\w.-]*$/.test(name) && name !== 'all' && name !== 'replication' ? name : `"${name.replaceAll('"', '""')}"`;

type Fit = 'yes' | 'perhaps' | 'no';

function fits(rule: HostRule, database: string, caller: Caller, address: string | undefined): Fit {
  if ((rule.type === 'local') !== caller.socket) return 'no';
  const each = new Set<Fit>([
    databaseFits(rule.databases, database, caller.role),
    listFits(rule.users, caller.role),
    caller.socket ? 'yes' : addressFits(rule, address),
    encryptionFits(rule.type, caller.tls),
  ]);
  if (each.has('no')) return 'no';
  return each.has('perhaps') ? 'perhaps' : 'yes';
}

function encryptionFits(type: string, tls: boolean | undefined): Fit {
  if (type === 'local' || type === 'host') return 'yes';
  if (tls === undefined || type.includes('gss')) return 'perhaps';
  return (type === 'hostssl') === tls ? 'yes' : 'no';
}

/** Keywords: sameuser is the role's own database; the role is a member of no other role that a database is named after. */
function databaseFits(listed: readonly string[], database: string, role: string): Fit {
  if (listed.includes('sameuser') && database === role) return 'yes';
  return listFits(
    listed.filter((entry) => !['sameuser', 'samerole', 'samegroup', 'replication'].includes(entry)),
    database,
  );
}

function listFits(listed: readonly string[], name: string): Fit {
  if (listed.includes('all') || listed.includes(name)) return 'yes';
  return listed.some((entry) => /^[/+]/.test(entry)) ? 'perhaps' : 'no';
}

function addressFits({ address, netmask }: HostRule, caller: string | undefined): Fit {
  if (address === null || address === 'all') return 'yes';
  const family = isIP(address);
  if (family === 0 || caller === undefined) return 'perhaps';
  if (family !== isIP(caller)) return 'no';
  const type = family === 6 ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(address, netmask === null ? (family === 6 ? 128 : 32) : bits(netmask), type);
  return list.check(caller, type) ? 'yes' : 'no';
}

/** Ones of a netmask: 255.255.255.0 is 24, ffff:ff00:: is 24. */
function bits(netmask: string): number {
  const words = netmask.includes(':')
    ? netmask.split(':').map((word) => Number.parseInt(word === '' ? '0' : word, 16))
    : netmask.split('.').map(Number);
  return words.reduce((sum, word) => sum + word.toString(2).replaceAll('0', '').length, 0);
}
