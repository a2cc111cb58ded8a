import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { groupBy } from '../../engine/group-by.ts';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import {
  EndedSession,
  EntryVersion,
  FenceState,
  RemainingWriter,
  SessionStart,
  endSessions,
  endSessionsBut,
  entryVersions,
  fenceStates,
  remainingWriters,
  sessionStarts,
  walMarker,
} from '../../postgres/catalog/fence.ts';
import { forgetNotes, replaceNotes } from '../../postgres/catalog/ledger-notes.ts';
import type { Side } from '../../postgres/cluster.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';
import { pauseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { ANEW, databasesNamed } from './agreement.ts';
import { claimFences } from './claim-fence.ts';
import { eachOf } from './each-of.ts';
import { beforeFence, databaseGone, holdingFences, proofKey, untilUndisturbed } from './fence.ts';
import type { FenceContext, ProofNote } from './fence.ts';
import { giveBackEach } from './give-back.ts';
import { configuredReaders, refuseWritingReaders, withdrawLargeObjects } from './readers.ts';

/** Time between two looks whether the ended sessions are gone, milliseconds. */
const LOOK_FIRST_MS = 4;
const LOOK_MOST_MS = 100;

type RaiseContext = FenceContext & TrafficContext;

/** Databases whose privileges are changed in one transaction: each of them costs the server locks. */
const SHUT_AT_ONCE = 200;

/**
 * Raises the fences of one database, or of several at once: nobody but superusers, our replication role and readers that cannot write may
 * connect, new transactions are read-only, all other sessions are ended, and it is proven that nobody writes. The position of the WAL is
 * taken after that, so that it is behind every acknowledged write.
 * @param contexts of one run; their databases are fenced all or none
 * @param look what must hold behind them; where that throws, the fences are taken down again
 * @throws PgconvoyError before anything is touched, where it would not hold; DeadlineExceeded, with the fences taken down again, naming
 * who stayed.
 */
export async function raiseFences(contexts: readonly RaiseContext[], look: () => Promise<void>): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const { sourceCluster, settings, log } = first;
  const deadline = Date.now() + settings.deadlines.fence;
  // What a fence could not end is looked for while the application still runs.
  const { states, readers } = await lookBefore(contexts);
  // Its sessions would be ended too, with a statement of a client in each: paused it has none.
  await eachOf(contexts, pauseTraffic);
  await claimFences(first, new Map([...states].map(([name, state]) => [name, beforeFence(state)])));
  let proven: Proven;
  try {
    proven = await prove({ contexts, first, readers, deadline }, states, look);
  } catch (error) {
    if (first.signal.aborted) throw error;
    // Whatever it was that went wrong, the applications get their databases back.
    await giveBackEach(contexts);
    throw error;
  }
  const proofs = proofsOf(proven, [...states.keys()], readers);
  await holdingNotes(first, [...proofs.keys()], () =>
    sourceCluster.maintenance.run(replaceNotes(proofKey('').kind, proofs)),
  );
  for (const [database, { lsn, ended, superusers, workers }] of proofs) {
    if (superusers.length > 0)
      log.warn({ database, superusers }, 'sessions of superusers were ended; the fence does not keep them out');
    if (workers.length > 0)
      log.warn({ database, workers }, 'background workers of extensions go on; the fence does not keep them out');
    log.info({ database, lsn, ended, readers }, 'fenced');
  }
}

interface Proven extends Seen {
  readonly lsn: string;
  /** By database, of its entry in the catalog. */
  readonly versions: ReadonlyMap<string, string>;
}

function proofsOf(
  { lsn, versions, ended, workers }: Proven,
  names: readonly string[],
  readers: readonly string[],
): Map<string, z.input<typeof ProofNote>> {
  const sessions = groupBy(ended, ({ database }) => database);
  const others = groupBy(workers, ({ database }) => database);
  return new Map(
    names.map((name) => {
      const its = sessions.get(name) ?? [];
      return [
        name,
        {
          lsn,
          ended: its.length,
          superusers: [...new Set(its.filter(({ superuser }) => superuser).map(whoIs))],
          readers: [...readers],
          workers: [...new Set((others.get(name) ?? []).map((worker) => worker.name))],
          version: versions.get(name)!,
        },
      ];
    }),
  );
}

/** What is raised together. */
interface Raising {
  readonly contexts: readonly RaiseContext[];
  /** Any of them: they share both clusters. */
  readonly first: RaiseContext;
  /** Roles that log in and stay. */
  readonly readers: readonly string[];
  /** Milliseconds since 1970. */
  readonly deadline: number;
}

type States = ReadonlyMap<string, FenceState>;

/** Shuts, and proves it, until nobody has touched an entry of theirs in between: any GRANT does, also one that grants nothing. */
async function prove(raising: Raising, states: States, look: () => Promise<void>): Promise<Proven> {
  const { contexts, first, readers, deadline } = raising;
  const names = contexts.map(({ source }) => source.name);
  const ended: EndedSession[] = [];
  const versions = new Map<string, string>();
  for (let open = states; ;) {
    for (const [name, version] of await shut(first, open)) versions.set(name, version);
    if (readers.length > 0) await eachOf(contexts, withdrawLargeObjects);
    const seen = await proveNobodyWrites(raising);
    ended.push(...seen.ended);
    if (readers.length > 0) await eachOf(contexts, (context) => refuseWritingReaders(context, readers));
    await look();
    const marked = await markBehind(contexts);
    const touched = names.filter((name) => marked.versions.get(name) !== versions.get(name));
    if (touched.length === 0) return { ...seen, ended, lsn: marked.lsn, versions };
    if (Date.now() > deadline) throw disturbed(first, touched);
    open = await statesOf(first, touched, readers);
  }
}

const disturbed = ({ sourceCluster, settings }: FenceContext, names: readonly string[]): DeadlineExceeded =>
  new DeadlineExceeded(
    `${sourceCluster.side}, ${databasesNamed(names)}: for ${settings.deadlines.fence} ms somebody has altered it or its privileges again and again. The fence is down again, the ${sourceCluster.side} takes writes`,
    { hint: 'Stop what runs ALTER DATABASE, GRANT or REVOKE on the database, then retry the step.' },
  );

async function statesOf(
  { sourceCluster, settings }: FenceContext,
  names: readonly string[],
  readers: readonly string[],
): Promise<States> {
  const stay = [settings.replication.role, ...readers];
  return byDatabase(await sourceCluster.maintenance.many(FenceState, fenceStates(names, stay)));
}

const byDatabase = (states: readonly FenceState[]): States => new Map(states.map((state) => [state.database, state]));

/** @throws PgconvoyError where the fence would not hold */
async function lookBefore(
  contexts: readonly RaiseContext[],
): Promise<{ readonly states: States; readonly readers: readonly string[] }> {
  const { sourceCluster, settings } = contexts[0]!;
  const { role } = settings.replication;
  const names = contexts.map(({ source }) => source.name);
  const stay = [role, ...(await configuredReaders(contexts[0]!))];
  const [rows, writers] = await sourceCluster.maintenance.atOnce([fenceStates(names, stay), remainingWriters(names)]);
  refuseWriters(sourceCluster.side, z.array(RemainingWriter).parse(writers));
  const states = byDatabase(z.array(FenceState).parse(rows));
  const lost = contexts.find(({ source }) => !states.has(source.name));
  if (lost) throw databaseGone(lost);
  // Who has been granted what is the same for the whole cluster.
  const readers = [...states.values()][0]!.staying.filter((each) => each !== role);
  if (readers.length > 0) await eachOf(contexts, (context) => refuseWritingReaders(context, readers));
  return { states, readers };
}

function refuseWriters(side: Side, writers: readonly RemainingWriter[]): void {
  const prepared = writers.filter(({ kind }) => kind === 'prepared');
  const subscription = writers.find(({ kind }) => kind === 'subscription');
  if (prepared[0]) {
    const { database } = prepared[0];
    const its = prepared.filter((each) => each.database === database);
    throw new PgconvoyError(
      `${side}, database "${database}": prepared transactions would outlive the fence: ${its.map(({ name }) => `"${name}"`).join(', ')}`,
      {
        hint: `On the ${side}, in that database: COMMIT PREPARED ${lit(prepared[0].name).text}; or ROLLBACK PREPARED. Then retry the step.`,
        disposition: 'wait',
      },
    );
  }
  if (subscription) {
    throw new PgconvoyError(
      `${side}, database "${subscription.database}": it receives rows by the subscription "${subscription.name}", which a fence does not stop`,
      {
        hint: `On the ${side}, in that database: ALTER SUBSCRIPTION ${id(subscription.name).text} DISABLE; then retry the step.`,
      },
    );
  }
}

/** How often the owner may let somebody in at the very moment. */
const SHUTS = 5;

/**
 * In one transaction. The owner could open the database again from another one, so until then it is ours.
 * @returns by database the version of its entry in the catalog, which every later change of it makes another
 * @see https://www.postgresql.org/docs/current/sql-revoke.html
 */
async function shut(context: FenceContext, states: States): Promise<ReadonlyMap<string, string>> {
  const versions = new Map<string, string>();
  const all = [...states.values()];
  for (let start = 0; start < all.length; start += SHUT_AT_ONCE) {
    const some = all.slice(start, start + SHUT_AT_ONCE);
    for (const { database, version } of await untilUndisturbed(() => shutThese(context, some)))
      versions.set(database, version);
  }
  return versions;
}

/**
 * Nothing is shut, and nothing proven, behind the back of who gives it back: of such a database nobody would know what was before, nor
 * until when it may be shut.
 */
const holdingNotes = <T>(context: FenceContext, names: readonly string[], body: () => Promise<T>): Promise<T> => {
  const refused = (given: readonly string[]) =>
    new PgconvoyError(
      `${context.sourceCluster.side}, ${databasesNamed(given)}: given back while the fence was being raised`,
      { hint: ANEW(context.run) },
    );
  return holdingFences(context, names, body, { refused });
};

async function shutThese(context: FenceContext, states: readonly FenceState[]): Promise<readonly FenceState[]> {
  const { sourceCluster, settings } = context;
  const { role } = settings.replication;
  const shutOnes: FenceState[] = [];
  let open = states.map((state) => ({ state, stay: state.staying }));
  for (let attempt = 1; ; attempt++) {
    const names = open.map(({ state }) => state.database);
    const statements = [
      forgetNotes(proofKey('').kind, names),
      ...open.flatMap(({ state, stay }) => shutting(state, stay)),
      fenceStates(names, [role]),
    ];
    const results = await holdingNotes(context, names, () => sourceCluster.maintenance.atOnce(statements));
    const now = byDatabase(z.array(FenceState).parse(results.at(-1)));
    shutOnes.push(...[...now.values()].filter((state) => letIn(state, open).length === 0));
    open = open.flatMap(({ state, stay }) => {
      const found = now.get(state.database);
      return found && letIn(found, open).length > 0 ? [{ state: found, stay }] : [];
    });
    const [first] = open;
    if (!first) return shutOnes;
    if (attempt === SHUTS) {
      throw new PgconvoyError(
        `${sourceCluster.side}, database "${first.state.database}": somebody lets others in again and again: ${letIn(
          first.state,
          open,
        )
          .map((each) => each ?? 'PUBLIC')
          .join(', ')}`,
        { hint: 'Stop what grants CONNECT on the database, then retry the step.', disposition: 'retry' },
      );
    }
  }
}

function letIn(
  { database, connectors }: FenceState,
  open: readonly { readonly state: FenceState; readonly stay: readonly string[] }[],
): readonly (string | null)[] {
  const stay = open.find(({ state }) => state.database === database)?.stay ?? [];
  return connectors.filter((role) => role === null || !stay.includes(role));
}

function shutting(state: FenceState, stay: readonly string[]): Sql[] {
  const name = id(state.database);
  const grantees = join(state.grantees.map((each) => (each === null ? fragment`public` : id(each))));
  return [
    ...(state.grantees.length > 0 ? [sql`revoke connect on database ${name} from ${grantees} cascade`] : []),
    ...(state.superusers.includes(state.owner) ? [] : [sql`alter database ${name} owner to ${id(state.self)}`]),
    // The target goes on reading what was written before.
    ...(stay.length > 0 ? [sql`grant connect on database ${name} to ${join(stay.map((each) => id(each)))}`] : []),
    sql`alter database ${name} set default_transaction_read_only = on`,
  ];
}

interface Seen {
  readonly ended: readonly EndedSession[];
  readonly workers: readonly RemainingWriter[];
}

/**
 * Ends sessions until nobody is left: no session that was let in before, none that was just being let in, no transaction. Who begins
 * later meets the privileges as they are now.
 */
async function proveNobodyWrites(raising: Raising): Promise<Seen> {
  const { first, deadline } = raising;
  const { signal, progress, settings } = first;
  const ended = new Map<number, EndedSession>();
  let before: ReadonlySet<number> | undefined;
  let pause = LOOK_FIRST_MS;
  for (;;) {
    signal.throwIfAborted();
    const { starting, sessions, writers } = await lookAround(raising);
    for (const session of sessions) ended.set(session.pid, session);
    const letInBefore = starting.filter(({ pid }) => before?.has(pid) ?? true);
    before = new Set(letInBefore.map(({ pid }) => pid));
    const writing = writers.filter(({ kind }) => kind !== 'worker');
    if (letInBefore.length === 0 && sessions.length === 0 && writing.length === 0) {
      return { ended: [...ended.values()], workers: writers };
    }
    if (Date.now() > deadline) {
      throw stayed(first, [
        ...sessions.map((session) => ({ database: session.database, who: describeSession(session) })),
        ...letInBefore.map(({ pid, database }) => ({ database, who: `pid ${pid}, which is just logging in` })),
        ...writing.map(({ database, kind, name }) => ({ database, who: `${kind} ${name}` })),
      ]);
    }
    progress({
      done: settings.deadlines.fence - (deadline - Date.now()),
      total: settings.deadlines.fence,
      unit: 'milliseconds',
      note: `ending sessions: ${sessions.slice(0, 3).map(describeSession).join(', ')}`,
    });
    await sleep(pause, undefined, { signal });
    pause = Math.min(LOOK_MOST_MS, pause * 1.5);
  }
}

/** In this order: who is just starting is listed by the time its lock is gone. */
async function lookAround({ contexts, first, readers }: Raising) {
  const names = contexts.map(({ source }) => source.name);
  const { role } = first.settings.replication;
  const looks =
    readers.length === 0
      ? [
          await first.sourceCluster.maintenance.atOnce([
            sessionStarts(names),
            endSessions(names, role),
            remainingWriters(names),
          ]),
        ]
      : // Which tables a reader has locked only its own database says.
        await eachOf(contexts, ({ source }) =>
          source.atOnce([sessionStarts([source.name]), endSessionsBut(readers, role), remainingWriters([source.name])]),
        );
  return {
    starting: looks.flatMap(([starting]) => z.array(SessionStart).parse(starting)),
    sessions: looks.flatMap(([, sessions]) => z.array(EndedSession).parse(sessions)),
    writers: looks.flatMap(([, , writers]) => z.array(RemainingWriter).parse(writers)),
  };
}

const Marked = z.object({ lsn: z.string() });

/**
 * A marker behind every write there was, and the versions of the databases' entries in the catalog at that time. That of one database is
 * made in there, so that its worker has something to answer at once; one in each of many would wake the workers of all each time.
 */
async function markBehind(contexts: readonly RaiseContext[]) {
  const { source, sourceCluster } = contexts[0]!;
  const where = contexts.length === 1 ? source : sourceCluster.maintenance;
  const names = contexts.map((context) => context.source.name);
  const [marked, versions] = await where.atOnce([walMarker(), entryVersions(names)]);
  const entries = z.array(EntryVersion).parse(versions);
  return {
    ...Marked.parse(marked?.[0]),
    versions: new Map(entries.map(({ database, version }) => [database, version])),
  };
}

const whoIs = ({ user, application, client }: EndedSession) =>
  `"${user}" (${application === '' ? 'no application name' : application}, ${client})`;
const describeSession = (session: EndedSession) =>
  `pid ${session.pid} of ${session.superuser ? 'superuser ' : ''}${whoIs(session)}`;

function stayed(
  { sourceCluster, settings }: FenceContext,
  all: readonly { readonly database: string; readonly who: string }[],
): DeadlineExceeded {
  const names = [...new Set(all.map(({ database }) => database))];
  return new DeadlineExceeded(
    `${sourceCluster.side}, ${databasesNamed(names)}: within ${settings.deadlines.fence} ms it could not be freed of ${all
      .slice(0, 5)
      .map(({ who }) => who)
      .join('; ')}. The fence is down again, the ${sourceCluster.side} takes writes`,
    { hint: 'Stop these programs (superusers can always connect again), then retry the step.' },
  );
}
