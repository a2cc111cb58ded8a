import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { withoutSecrets } from '../../errors.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import type { LogEntry } from '../../postgres/log-entries.ts';
import { readLogEnd } from '../../postgres/server-log.ts';
import type { Unread } from '../../postgres/server-log.ts';
import { sql } from '../../postgres/sql.ts';
import { OURS, subscriptionName } from '../../replication/names.ts';

/** By database: what its worker has said last, or why that cannot be read. */
export type ApplyErrors = ReadonlyMap<string, Failure>;
export type Failure = { readonly text: string } | Unread;

const LONGEST = 600;
const Subscription = z.object({ name: z.string(), oid: z.string() });

/**
 * The newest error of the subscriptions of these databases, from the end of the log of the server that applies. Never throws: a server that
 * cannot be asked says so elsewhere.
 */
export async function readApplyErrors(
  { maintenance }: BoundCluster,
  databases: readonly string[],
): Promise<ApplyErrors> {
  if (databases.length === 0) return new Map();
  try {
    const entries = await readLogEnd(maintenance);
    if ('unread' in entries) return new Map(databases.map((database) => [database, entries]));
    // Those of pglogical are not listed there, and tell who they are all the same.
    const listed = await maintenance.many(
      Subscription,
      sql`select subname::text as name, oid::text as oid from pg_subscription where subname like ${OURS}`,
    );
    const errors = newestErrors(entries, new Map(listed.map(({ oid, name }) => [oid, name])));
    return new Map(
      databases.map((database) => {
        const entry = errors.get(subscriptionName(database));
        return [database, entry ? { text: textOf(entry) } : { unread: 'the end of it has no error of that worker' }];
      }),
    );
  } catch {
    return new Map();
  }
}

/** For the error of a step whose database does not get its rows. */
export interface LastWords {
  /** Behind a message: what the worker has said last, or nothing. */
  readonly said: string;
  /** Why that could not be read, in brackets behind where it stands, or nothing. */
  readonly unread: string;
}

/** What the worker of this step's database has said last on the cluster that applies. */
export async function lastWords({
  target,
  targetCluster,
}: Pick<OperationContext, 'target' | 'targetCluster'>): Promise<LastWords> {
  const failure = (await readApplyErrors(targetCluster, [target.name])).get(target.name);
  if (failure && 'text' in failure) return { said: `; its worker has said last: ${failure.text}`, unread: '' };
  return { said: '', unread: failure ? ` (${failure.unread})` : '' };
}

/**
 * By subscription. A worker tells at its start for which one it works; from 15 on each of its errors says so too.
 * @param names of subscriptions, by oid
 * @see https://www.postgresql.org/docs/current/logical-replication-conflicts.html
 */
function newestErrors(entries: readonly LogEntry[], names: ReadonlyMap<string, string>): ReadonlyMap<string, LogEntry> {
  const workers = new Map<number, string>();
  const newest = new Map<string, LogEntry>();
  for (const entry of entries) {
    const { pid, severity, message, context = '' } = entry;
    const [, begun] = /\bsubscription "?(pgconvoy_[0-9a-f]{16})\b/.exec(message) ?? [];
    if (pid !== undefined && begun !== undefined) workers.set(pid, begun);
    if (severity !== 'ERROR') continue;
    const [, origin = ''] = /replication origin "pg_(\d+)/.exec(context) ?? [];
    const name = names.get(origin) ?? (pid === undefined ? undefined : workers.get(pid));
    if (name !== undefined) newest.set(name, entry);
  }
  return newest;
}

function textOf({ message, detail, context }: LogEntry): string {
  const more = [detail, context].filter((one) => one !== undefined);
  const text = `${message}${more.length === 0 ? '' : ` (${more.join('; ')})`}`.replaceAll(/\s*\n\s*/g, ' ');
  const safe = withoutSecrets(text);
  return safe.length <= LONGEST ? safe : `${safe.slice(0, LONGEST - 1)}…`;
}
