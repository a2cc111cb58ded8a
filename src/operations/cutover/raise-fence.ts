import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import {
  EndedSession,
  FenceState,
  RemainingWriter,
  SessionStart,
  endSessions,
  fenceState,
  remainingWriters,
  sessionStarts,
} from '../../postgres/catalog/fence.ts';
import { forgetNote, replaceNote } from '../../postgres/catalog/ledger-notes.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import { pauseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { claimFence } from './claim-fence.ts';
import { ProofNote, beforeFence, markBehind, proofKey, untilUndisturbed } from './fence.ts';
import type { FenceContext, FenceProof } from './fence.ts';
import { giveBack } from './give-back.ts';
import { configuredReaders, refuseWritingReaders, withdrawLargeObjects } from './readers.ts';

/** Time between two looks whether the ended sessions are gone, milliseconds. */
const LOOK_FIRST_MS = 4;
const LOOK_MOST_MS = 100;

/**
 * Raises the fence: nobody but superusers, our replication role and readers that cannot write may connect, new transactions are read-only,
 * all other sessions are ended, and it is proven that nobody writes. The position of the WAL is taken after that, so that it is
 * behind every acknowledged write.
 * @param look what must hold behind it; where that throws, the fence is taken down again
 * @throws PgconvoyError before anything is touched, where it would not hold; DeadlineExceeded, with the fence taken down again, naming
 * who stayed.
 */
export async function raiseFence(
  context: FenceContext & TrafficContext,
  look: () => Promise<void>,
): Promise<FenceProof> {
  const { source, sourceCluster, settings, log } = context;
  const deadline = Date.now() + settings.deadlines.fence;
  // What a fence could not end is looked for while the application still runs.
  const { state, readers } = await lookBefore(context);
  // Its sessions would be ended too, with a statement of a client in each: paused it has none.
  await pauseTraffic(context);
  await claimFence(context, beforeFence(state));
  let proven: Proven;
  try {
    proven = await prove(context, { state, readers }, deadline, look);
  } catch (error) {
    if (context.signal.aborted) throw error;
    // Whatever it was that went wrong, the application gets its database back.
    await giveBack(context);
    throw error;
  }
  const { ended, workers, lsn, version } = proven;
  const proof: FenceProof = {
    lsn,
    ended: ended.length,
    superusers: [...new Set(ended.filter(({ superuser }) => superuser).map(whoIs))],
    readers: [...readers],
    workers: [...workers],
  };
  await sourceCluster.maintenance.run(
    replaceNote(proofKey(source.name), { ...proof, version } satisfies z.input<typeof ProofNote>),
  );
  if (proof.superusers.length > 0) {
    log.warn({ superusers: proof.superusers }, 'sessions of superusers were ended; the fence does not keep them out');
  }
  if (proof.workers.length > 0) {
    log.warn({ workers: proof.workers }, 'background workers of extensions go on; the fence does not keep them out');
  }
  log.info({ lsn: proof.lsn, ended: proof.ended, readers: proof.readers }, 'fenced');
  return proof;
}

interface Proven extends Seen {
  readonly lsn: string;
  readonly version: string;
}

/** Shuts, and proves it, until nobody has touched the database's entry in between: any GRANT does, also one that grants nothing. */
async function prove(
  context: FenceContext,
  { state, readers }: Before,
  deadline: number,
  look: () => Promise<void>,
): Promise<Proven> {
  const { source, settings } = context;
  const ended: EndedSession[] = [];
  for (let before = state; ; before = await lookAgain(context, readers)) {
    const version = await untilUndisturbed(() => shut(context, before));
    if (readers.length > 0) await withdrawLargeObjects(context);
    const seen = await proveNobodyWrites(context, readers, deadline);
    ended.push(...seen.ended);
    await refuseWritingReaders(context, readers);
    await look();
    const marked = await markBehind(context);
    if (marked.version === version) return { ...seen, ended, ...marked };
    if (Date.now() > deadline) {
      throw new DeadlineExceeded(
        `${source.side}, database "${source.name}": for ${settings.deadlines.fence} ms somebody has altered it or its privileges again and again. The fence is down again, the database takes writes`,
        { hint: 'Stop what runs ALTER DATABASE, GRANT or REVOKE on the database, then retry the step.' },
      );
    }
  }
}

const lookAgain = (
  { source, sourceCluster, settings }: FenceContext,
  readers: readonly string[],
): Promise<FenceState> =>
  sourceCluster.maintenance.one(FenceState, fenceState(source.name, [settings.replication.role, ...readers]));

interface Before {
  readonly state: FenceState;
  /** Roles that log in and stay. */
  readonly readers: readonly string[];
}

/** @throws PgconvoyError where the fence would not hold */
async function lookBefore(context: FenceContext): Promise<Before> {
  const { source, sourceCluster, settings } = context;
  const { role } = settings.replication;
  const stay = [role, ...(await configuredReaders(context))];
  const [states, writers] = await sourceCluster.maintenance.atOnce([
    fenceState(source.name, stay),
    remainingWriters(source.name),
  ]);
  refuseWriters(source, z.array(RemainingWriter).parse(writers));
  const state = FenceState.parse(states?.[0]);
  const readers = state.staying.filter((each) => each !== role);
  await refuseWritingReaders(context, readers);
  return { state, readers };
}

function refuseWriters({ side, name: database }: FenceContext['source'], writers: readonly RemainingWriter[]): void {
  const prepared = writers.filter(({ kind }) => kind === 'prepared');
  const subscription = writers.find(({ kind }) => kind === 'subscription');
  if (prepared[0]) {
    throw new PgconvoyError(
      `${side}, database "${database}": prepared transactions would outlive the fence: ${prepared.map(({ name }) => `"${name}"`).join(', ')}`,
      {
        hint: `On the ${side}, in that database: COMMIT PREPARED ${lit(prepared[0].name).text}; or ROLLBACK PREPARED. Then retry the step.`,
        disposition: 'wait',
      },
    );
  }
  if (subscription) {
    throw new PgconvoyError(
      `${side}, database "${database}": it receives rows by the subscription "${subscription.name}", which a fence does not stop`,
      {
        hint: `On the ${side}, in that database: ALTER SUBSCRIPTION ${id(subscription.name).text} DISABLE; then retry the step.`,
      },
    );
  }
}

/** How often the owner may let somebody in at the very moment. */
const SHUTS = 5;

/**
 * In one round trip, one transaction. The owner could open the database again from another one, so until then it is ours.
 * @returns the version of the database's entry in the catalog, which every later change of it makes another
 * @see https://www.postgresql.org/docs/current/sql-revoke.html
 */
async function shut({ source, sourceCluster, settings }: FenceContext, before: FenceState): Promise<string> {
  const name = id(source.name);
  const stay = before.staying;
  const keep = join(stay.map((each) => id(each)));
  for (let state = before, attempt = 1; ; attempt++) {
    const grantees = join(state.grantees.map((each) => (each === null ? fragment`public` : id(each))));
    const results = await sourceCluster.maintenance.atOnce([
      forgetNote(proofKey(source.name)),
      ...(state.grantees.length > 0 ? [sql`revoke connect on database ${name} from ${grantees} cascade`] : []),
      ...(state.superusers.includes(state.owner) ? [] : [sql`alter database ${name} owner to ${id(state.self)}`]),
      // The target goes on reading what was written before.
      ...(stay.length > 0 ? [sql`grant connect on database ${name} to ${keep}`] : []),
      sql`alter database ${name} set default_transaction_read_only = on`,
      fenceState(source.name, [settings.replication.role]),
    ]);
    state = FenceState.parse(results.at(-1)?.[0]);
    const letIn = state.connectors.filter((role) => role === null || !stay.includes(role));
    if (letIn.length === 0) return state.version;
    if (attempt === SHUTS) {
      throw new PgconvoyError(
        `${source.side}, database "${source.name}": somebody lets others in again and again: ${letIn.map((role) => role ?? 'PUBLIC').join(', ')}`,
        { hint: 'Stop what grants CONNECT on the database, then retry the step.', disposition: 'retry' },
      );
    }
  }
}

interface Seen {
  readonly ended: readonly EndedSession[];
  readonly workers: readonly string[];
}

/**
 * Ends sessions until nobody is left: no session that was let in before, none that was just being let in, no transaction. Who begins
 * later meets the privileges as they are now.
 */
async function proveNobodyWrites(context: FenceContext, readers: readonly string[], deadline: number): Promise<Seen> {
  const { signal, progress, settings } = context;
  const ended = new Map<number, EndedSession>();
  let letIn: ReadonlySet<number> | undefined;
  let pause = LOOK_FIRST_MS;
  for (;;) {
    signal.throwIfAborted();
    const { starting, sessions, writers } = await lookAround(context, readers);
    for (const session of sessions) ended.set(session.pid, session);
    letIn = new Set(starting.filter((pid) => letIn?.has(pid) ?? true));
    const workers = writers.filter(({ kind }) => kind === 'worker').map(({ name }) => name);
    const writing = writers.filter(({ kind }) => kind !== 'worker');
    if (letIn.size === 0 && sessions.length === 0 && writing.length === 0) {
      return { ended: [...ended.values()], workers: [...new Set(workers)] };
    }
    if (Date.now() > deadline) {
      throw stayed(context, [
        ...sessions.map(describeSession),
        ...[...letIn].map((pid) => `pid ${pid}, which is just logging in`),
        ...writing.map(({ kind, name }) => `${kind} ${name}`),
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
async function lookAround({ source, settings }: FenceContext, readers: readonly string[]) {
  const [starting, sessions, writers] = await source.atOnce([
    sessionStarts(source.name),
    endSessions(readers, settings.replication.role),
    remainingWriters(source.name),
  ]);
  return {
    starting: z
      .array(SessionStart)
      .parse(starting)
      .map(({ pid }) => pid),
    sessions: z.array(EndedSession).parse(sessions),
    writers: z.array(RemainingWriter).parse(writers),
  };
}

const whoIs = ({ user, application, client }: EndedSession) =>
  `"${user}" (${application === '' ? 'no application name' : application}, ${client})`;
const describeSession = (session: EndedSession) =>
  `pid ${session.pid} of ${session.superuser ? 'superuser ' : ''}${whoIs(session)}`;

function stayed({ source, settings }: FenceContext, who: readonly string[]): DeadlineExceeded {
  return new DeadlineExceeded(
    `${source.side}, database "${source.name}": within ${settings.deadlines.fence} ms it could not be freed of ${who.slice(0, 5).join('; ')}. The fence is down again, the database takes writes`,
    { hint: 'Stop these programs (superusers can always connect again), then retry the step.' },
  );
}
