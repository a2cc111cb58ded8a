import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { PgconvoyError } from '../../../errors.ts';
import type { PgBouncer, PgBouncerDatabase } from '../../../postgres/pgbouncer.ts';
import { entriesOf } from '../../traffic/pgbouncer-file.ts';
import type { FileEntry } from '../../traffic/pgbouncer-file.ts';
import { readTextFile, whyNotReplaceable } from '../../traffic/replace-file.ts';
import type { CheckPoint, Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** Each PgBouncer of the configuration: its console, its file, and where its databases lead. */
export const pgbouncers: Concern = {
  name: 'PgBouncer',
  side: 'here',
  async look({ traffic, sourceCluster, targetCluster, run, settings, signal }) {
    const servers = [sourceCluster, targetCluster].map(({ cluster }) => cluster.address);
    return Promise.all(
      traffic.pgbouncers.map(async (pgbouncer): Promise<CheckPoint> => {
        const point = { id: `pgbouncer-${pgbouncer.place}`, title: `PgBouncer ${pgbouncer.place}` };
        try {
          const [running, now, text, closed] = await Promise.all([
            pgbouncer.list(signal),
            pgbouncer.settings(signal),
            readTextFile(pgbouncer.file),
            whyNotReplaceable(pgbouncer.file),
          ]);
          const entries = entriesOf(text);
          const seen = { running, entries, databases: run.databases };
          const stray = await strayEntries(switched(pgbouncer, seen), servers);
          return {
            ...point,
            detail: pgbouncer.file,
            findings: [
              ...judgeFile(pgbouncer, closed),
              ...judgeDatabases(pgbouncer, seen),
              ...judgePlaces(pgbouncer, stray),
              ...judgeSettings(pgbouncer, switched(pgbouncer, seen), running, now, settings.deadlines.outage),
            ],
          };
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof PgconvoyError)) throw error;
          return {
            ...point,
            findings: [
              finding({ code: 'pgbouncer-away', severity: 'block', message: error.message, remedy: error.hint }),
            ],
          };
        }
      }),
    );
  },
};

interface Seen {
  readonly running: readonly PgBouncerDatabase[];
  readonly entries: readonly FileEntry[];
  /** Of the run. */
  readonly databases: readonly string[];
}

type Judged = Pick<PgBouncer, 'place' | 'file' | 'databases'>;

const finding = (found: Omit<CheckFinding, 'side'>): CheckFinding => ({ ...found, side: 'source' });

/** Lines of the file that are switched with the databases of the run. */
function switched({ databases: chosen }: Judged, { entries, databases }: Seen): FileEntry[] {
  const leads = ({ name, database }: FileEntry) => (chosen ? chosen[name] : database);
  return entries.filter((entry) => databases.includes(leads(entry) ?? ''));
}

function judgeFile({ place, file }: Judged, closed: string | undefined): CheckFinding[] {
  if (closed === undefined) return [];
  return [
    finding({
      code: 'pgbouncer-file',
      severity: 'block',
      message: `PgBouncer ${place}: ${file} cannot be replaced here: ${closed}.`,
      remedy:
        'Run the worker as the owner of that file, with write access to its folder; or switch by a hook instead (cutover.hooks).',
    }),
  ];
}

function judgeDatabases(pgbouncer: Judged, seen: Seen): CheckFinding[] {
  const { place, file, databases: chosen } = pgbouncer;
  const { running, entries, databases } = seen;
  const found: CheckFinding[] = [];
  for (const name of Object.keys(chosen ?? {})) {
    if (entries.some((entry) => entry.name === name)) continue;
    const line = `${name} = host=… port=… dbname=${chosen![name]}`;
    found.push(
      finding({
        code: 'pgbouncer-database',
        severity: 'block',
        message: `PgBouncer ${place}: "${name}" has no line of its own in ${file}.`,
        remedy: `Add it under [databases]: ${line}; or correct cutover.pgbouncer.databases.`,
      }),
    );
  }
  const mine = switched(pgbouncer, seen);
  const reached = new Set(mine.map(({ name, database }) => chosen?.[name] ?? database));
  const missing = databases.filter((database) => !reached.has(database));
  if (missing.length > 0) {
    found.push(
      finding({
        code: 'pgbouncer-database',
        severity: 'warning',
        message: `PgBouncer ${place} has no line for ${quotedList(missing)}: who comes another way is cut off by the fence.`,
        remedy: `Where they should be switched too, give each a line under [databases] of ${file}, and name it in cutover.pgbouncer.databases where that is set.`,
      }),
    );
  }
  const stale = mine.filter(({ name, host, port }) => {
    const now = running.find((each) => each.name === name);
    return !now || (now.host ?? undefined) !== host || now.port !== port;
  });
  if (stale.length > 0) {
    found.push(
      finding({
        code: 'pgbouncer-stale',
        severity: 'block',
        message: `PgBouncer ${place} does not run with what ${file} says of ${quotedList(stale.map(({ name }) => name))}.`,
        remedy:
          'RELOAD in its console, where the file was changed; else name the file it reads (SHOW CONFIG, conffile, or one that is included there).',
      }),
    );
  }
  return found;
}

function judgePlaces({ place }: Judged, stray: readonly FileEntry[]): CheckFinding[] {
  return stray.map(({ name, host, port }) =>
    finding({
      code: 'pgbouncer-elsewhere',
      severity: 'block',
      message: `PgBouncer ${place}: "${name}" leads to ${host ?? 'a socket of its machine'}:${port}, which is not the source.`,
      remedy:
        'Name those to be switched in cutover.pgbouncer.databases. If that address is the source all the same, accept: [pgbouncer-elsewhere].',
    }),
  );
}

function judgeSettings(
  { place }: Judged,
  mine: readonly FileEntry[],
  running: readonly PgBouncerDatabase[],
  now: ReadonlyMap<string, string | null>,
  outageMs: number,
): CheckFinding[] {
  const found: CheckFinding[] = [];
  const usual = now.get('pool_mode') ?? 'session';
  const sessions = mine.filter(
    ({ name }) => (running.find((each) => each.name === name)?.poolMode ?? usual) === 'session',
  );
  if (sessions.length > 0) {
    found.push(
      finding({
        code: 'pgbouncer-session',
        severity: 'warning',
        message: `PgBouncer ${place} pools ${quotedList(sessions.map(({ name }) => name))} by session: a pause waits for clients to leave, and those that stay connected never do.`,
        remedy:
          'Set pool_mode = transaction for them where the applications can live with it, or stop those that hold sessions before the cutover.',
      }),
    );
  }
  // Seconds; 0 is for ever.
  const patience = Number(now.get('query_wait_timeout') ?? 0) * 1_000;
  if (patience > 0 && patience < outageMs) {
    found.push(
      finding({
        code: 'pgbouncer-patience',
        severity: 'warning',
        message: `PgBouncer ${place} disconnects clients that have waited for ${patience / 1_000} s (query_wait_timeout); a cutover may take ${outageMs / 1_000} s.`,
        remedy: `SET query_wait_timeout = ${Math.ceil(outageMs / 1_000) + 60} in its console for the time of the cutover, or shorten deadlines.outage.`,
      }),
    );
  }
  return found;
}

const quotedList = (names: readonly string[]): string =>
  names
    .slice(0, 5)
    .map((name) => `"${name}"`)
    .join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');

interface Place {
  readonly host: string | undefined;
  readonly port: number;
}

/** Those that lead to neither of these servers, as far as names tell. */
async function strayEntries(entries: readonly FileEntry[], servers: readonly Place[]): Promise<FileEntry[]> {
  const known = await Promise.all(servers.map(async ({ host, port }) => ({ port, at: await addressesOf(host) })));
  const stray = await Promise.all(
    entries.map(async (entry) => {
      const at = await addressesOf(entry.host);
      return known.some((server) => server.port === entry.port && [...at].some((address) => server.at.has(address)))
        ? []
        : [entry];
    }),
  );
  return stray.flat();
}

/** What a name stands for; everything of this machine is `here`. */
async function addressesOf(host: string | undefined): Promise<ReadonlySet<string>> {
  if (host === undefined || host.startsWith('/')) return new Set(['here']);
  const own = new Set(Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)));
  const all = await Promise.all(
    host.split(',').map((name) => lookup(name.trim(), { all: true }).catch(() => [{ address: name.trim() }])),
  );
  return new Set(all.flat().map(({ address }) => (own.has(address) ? 'here' : address)));
}
