import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  EndedSession,
  FenceState,
  RemainingWriter,
  SessionStarts,
  endSessions,
  fenceState,
  remainingWriters,
  sessionStarts,
  walMarker,
} from '../../postgres/catalog/fence.ts';
import {
  DatabasePrivilege,
  databasePrivileges,
  privilegesWithout,
} from '../../postgres/catalog/database-definitions.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';
import { openedKey } from './opened.ts';

/** Time between two looks whether the ended sessions are gone, milliseconds. */
const LOOK_FIRST_MS = 4;
const LOOK_MOST_MS = 100;

/** What was before the fence, and when it went up by the source's clock. */
export const FenceNote = z.object({
  acl: z.string().nullable(),
  connectionLimit: z.number(),
  readOnly: z.string().nullable(),
  fencedAt: z.string(),
});
export type FenceNote = z.output<typeof FenceNote>;

/** What was seen when nobody could write any more. */
export const FenceProof = z.object({
  /** Every write that was ever acknowledged is before this position of the source's WAL. */
  lsn: z.string(),
  /** Sessions that were ended. */
  ended: z.number(),
  /** Superusers among them, whom no privilege keeps out. */
  superusers: z.array(z.string()),
});
export type FenceProof = z.output<typeof FenceProof>;

export interface StandingFence extends FenceProof {
  readonly fencedAt: string;
}

export const fenceKey = (database: string) => ({ kind: 'fence', database });
const proofKey = (database: string) => ({ kind: 'fence-lsn', database });

type FenceContext = Pick<
  OperationContext,
  'source' | 'sourceCluster' | 'sourceLedger' | 'settings' | 'signal' | 'log' | 'progress' | 'run'
>;

/** What the ledger says of the fence and whether the catalog agrees; `missing` is empty where it stands. */
export async function lookAtFence(
  context: FenceContext,
): Promise<{ readonly missing: readonly string[]; readonly fence: StandingFence | undefined }> {
  const { source, sourceCluster, sourceLedger, settings } = context;
  const [notes, state] = await Promise.all([
    sourceLedger.entries(undefined, source.name),
    sourceCluster.maintenance.one(FenceState, fenceState(source.name)),
  ]);
  const note = notes.find(({ kind }) => kind === fenceKey(source.name).kind);
  const proof = notes.find(({ kind }) => kind === proofKey(source.name).kind);
  const missing: string[] = [];
  if (!note) missing.push('the note of what was before');
  if (others(state, settings.replication.role).length > 0) missing.push('CONNECT revoked');
  if (state.readOnly !== 'on') missing.push('default_transaction_read_only');
  if (state.sessions > 0) missing.push('sessions ended');
  if (!proof) missing.push('proof that nobody writes');
  if (missing.length > 0 || !note || !proof) return { missing, fence: undefined };
  return { missing, fence: { ...FenceProof.parse(proof.before), fencedAt: FenceNote.parse(note.before).fencedAt } };
}

const others = ({ connectors }: FenceState, role: string) => connectors.filter((connector) => connector !== role);

/**
 * Raises the fence: nobody but superusers and our replication role may connect, new transactions are read-only, all sessions are
 * ended, and it is proven that nobody writes. The position of the WAL is taken after that, so that it is behind every
 * acknowledged write.
 * @param look what must hold behind it; where that throws, the fence is taken down again
 * @throws DeadlineExceeded, with the fence taken down again, naming who stayed.
 */
export async function raiseFence(context: FenceContext, look: () => Promise<void>): Promise<FenceProof> {
  const { source, sourceCluster, sourceLedger, settings, log } = context;
  const { maintenance } = sourceCluster;
  const deadline = Date.now() + settings.deadlines.fence;
  // What a fence could not end is looked for while the application still runs.
  await refuseWriters(context);
  const state = await maintenance.one(FenceState, fenceState(source.name));
  await sourceLedger.forget(proofKey(source.name));
  await sourceLedger.record(fenceKey(source.name), {
    acl: state.acl,
    connectionLimit: state.connectionLimit,
    readOnly: state.readOnly,
    fencedAt: state.now,
  } satisfies FenceNote);
  await untilUndisturbed(() => shut(context, state));
  let ended: readonly EndedSession[];
  try {
    ended = await proveNobodyWrites(context, deadline);
    await look();
  } catch (error) {
    if (context.signal.aborted) throw error;
    // Whatever it was that went wrong, the application gets its database back.
    await lowerFence(context);
    throw error;
  }
  const proof: FenceProof = {
    lsn: await markWal(context),
    ended: ended.length,
    superusers: [...new Set(ended.filter(({ superuser }) => superuser).map(whoIs))],
  };
  await sourceLedger.replace(proofKey(source.name), proof);
  if (proof.superusers.length > 0) {
    log.warn({ superusers: proof.superusers }, 'sessions of superusers were ended; the fence does not keep them out');
  }
  log.info({ lsn: proof.lsn, ended: proof.ended }, 'fenced');
  return proof;
}

async function refuseWriters({ source, sourceCluster }: FenceContext): Promise<void> {
  const writers = await sourceCluster.maintenance.many(RemainingWriter, remainingWriters(source.name));
  const prepared = writers.filter(({ kind }) => kind === 'prepared');
  const subscription = writers.find(({ kind }) => kind === 'subscription');
  if (prepared[0]) {
    throw new PgconvoyError(
      `source, database "${source.name}": prepared transactions would outlive the fence: ${prepared.map(({ name }) => `"${name}"`).join(', ')}`,
      {
        hint: `On the source, in that database: COMMIT PREPARED ${lit(prepared[0].name).text}; or ROLLBACK PREPARED. Then retry the step.`,
        disposition: 'wait',
      },
    );
  }
  if (subscription) {
    throw new PgconvoyError(
      `source, database "${source.name}": it receives rows by the subscription "${subscription.name}", which a fence does not stop`,
      {
        hint: `On the source, in that database: ALTER SUBSCRIPTION ${id(subscription.name).text} DISABLE; then retry the step.`,
      },
    );
  }
}

/** @see https://www.postgresql.org/docs/current/sql-revoke.html */
async function shut({ source, sourceCluster, settings }: FenceContext, state: FenceState): Promise<void> {
  const { maintenance } = sourceCluster;
  const { role } = settings.replication;
  const name = id(source.name);
  const connectors = others(state, role);
  await maintenance.transaction(async () => {
    if (connectors.length > 0) {
      const grantees = join(connectors.map((each) => (each === null ? fragment`public` : id(each))));
      await maintenance.run(sql`revoke connect on database ${name} from ${grantees} cascade`);
    }
    // The target goes on reading what was written before.
    if (await roleExists(maintenance, role))
      await maintenance.run(sql`grant connect on database ${name} to ${id(role)}`);
    await maintenance.run(sql`alter database ${name} set default_transaction_read_only = on`);
  });
}

async function roleExists(maintenance: FenceContext['source'], role: string): Promise<boolean> {
  return (await maintenance.maybe(z.object({}), sql`select from pg_roles where rolname = ${role}`)) !== undefined;
}

/** Two changes of one row of pg_database at the same time: the server refuses the second. */
async function untilUndisturbed(body: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await body();
    } catch (error) {
      const disturbed = error instanceof DatabaseError && /tuple concurrently (updated|deleted)/.test(error.message);
      if (!disturbed || attempt === 5) throw error;
    }
  }
}

/** Ends sessions until nobody is left: no session that was let in before, none that is just being let in, no transaction. */
async function proveNobodyWrites(context: FenceContext, deadline: number): Promise<readonly EndedSession[]> {
  const { source, sourceCluster, signal, progress, settings } = context;
  const { maintenance } = sourceCluster;
  const ended = new Map<number, EndedSession>();
  let pause = LOOK_FIRST_MS;
  for (;;) {
    signal.throwIfAborted();
    // In this order: who is just starting is listed by the time the lock is gone.
    const starting = await maintenance.one(SessionStarts, sessionStarts(source.name));
    const sessions = await maintenance.many(EndedSession, endSessions(source.name));
    for (const session of sessions) ended.set(session.pid, session);
    if (starting.count === 0 && sessions.length === 0) {
      const writers = await maintenance.many(RemainingWriter, remainingWriters(source.name));
      if (writers.length === 0) return [...ended.values()];
      if (Date.now() > deadline)
        throw stayed(
          context,
          writers.map(({ kind, name }) => `${kind} ${name}`),
        );
    } else if (Date.now() > deadline) throw stayed(context, sessions.map(describeSession));
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

const whoIs = ({ user, application, client }: EndedSession) =>
  `"${user}" (${application === '' ? 'no application name' : application}, ${client})`;
const describeSession = (session: EndedSession) =>
  `pid ${session.pid} of ${session.superuser ? 'superuser ' : ''}${whoIs(session)}`;

function stayed({ source, settings }: FenceContext, who: readonly string[]): DeadlineExceeded {
  const named = who.length === 0 ? 'sessions that come again and again' : who.slice(0, 5).join('; ');
  return new DeadlineExceeded(
    `source, database "${source.name}": within ${settings.deadlines.fence} ms it could not be freed of ${named}. The fence is down again, the database takes writes`,
    { hint: 'Stop these programs (superusers can always connect again), then retry the step.' },
  );
}

const Marked = z.object({ lsn: z.string() });

/** A position of the WAL behind every write there was; the target has everything once it has confirmed it. */
export async function markWal({ source }: Pick<OperationContext, 'source'>): Promise<string> {
  return (await source.one(Marked, walMarker())).lsn;
}

/**
 * Takes the fence down: privileges and settings as before. A database that is open on the target keeps it, unless the run was
 * told to open the source: two masters would lose writes.
 * @returns whether there was a fence to take down
 */
export async function lowerFence(context: FenceContext): Promise<boolean> {
  const { source, sourceCluster, sourceLedger, log } = context;
  const entry = await sourceLedger.find(fenceKey(source.name));
  if (!entry) {
    await sourceLedger.forget(proofKey(source.name));
    return false;
  }
  if (await mustStay(context)) {
    log.warn('the fence stays, because applications use the database on the target');
    return false;
  }
  await sourceLedger.forget(proofKey(source.name));
  const note = FenceNote.parse(entry.before);
  const state = await sourceCluster.maintenance.maybe(FenceState, fenceState(source.name));
  if (state) await untilUndisturbed(() => reopen(context, note, state));
  await sourceLedger.forget(fenceKey(source.name));
  log.info('the fence is down');
  return true;
}

/** The source's own note counts: the target may be away, and after uninstall its ledger is gone. */
async function mustStay({ source, sourceLedger, run }: FenceContext): Promise<boolean> {
  if (run.options['openSource']) return false;
  return (await sourceLedger.find(openedKey(source.name))) !== undefined;
}

async function reopen({ source, sourceCluster }: FenceContext, note: FenceNote, state: FenceState): Promise<void> {
  const { maintenance } = sourceCluster;
  const name = id(source.name);
  const connect = async (acl: string | null) =>
    (await maintenance.many(DatabasePrivilege, databasePrivileges(source.name, acl))).filter(
      ({ privilege }) => privilege === 'CONNECT',
    );
  const [wanted, present] = [await connect(note.acl), await connect(state.acl)];
  const roleOf = (grantee: string | null) => (grantee === null ? fragment`public` : id(grantee));
  await maintenance.transaction(async () => {
    for (const { grantee, grantor } of privilegesWithout(present, wanted)) {
      await as(grantor, sql`revoke connect on database ${name} from ${roleOf(grantee)} cascade`);
    }
    for (const { grantee, grantor, grantable } of ownersFirst(privilegesWithout(wanted, present))) {
      const option = grantable ? fragment` with grant option` : fragment``;
      await as(grantor, sql`grant connect on database ${name} to ${roleOf(grantee)}${option}`);
    }
    if (note.readOnly === null) await maintenance.run(sql`alter database ${name} reset default_transaction_read_only`);
    else await maintenance.run(sql`alter database ${name} set default_transaction_read_only = ${lit(note.readOnly)}`);
  });

  async function as(grantor: string, statement: Sql): Promise<void> {
    await maintenance.run(sql`set local role ${id(grantor)}`);
    await maintenance.run(statement);
    await maintenance.run(sql`reset role`);
  }
}

/** A privilege can be handed on only by who has it with the grant option: grantors come before those they gave it to. */
function ownersFirst(privileges: readonly DatabasePrivilege[]): DatabasePrivilege[] {
  const ordered: DatabasePrivilege[] = [];
  let rest = [...privileges];
  while (rest.length > 0) {
    const waiting = new Set(rest.filter(({ grantable }) => grantable).map(({ grantee }) => grantee));
    const next = rest.filter(({ grantor, grantee }) => grantor === grantee || !waiting.has(grantor));
    const taken = next.length > 0 ? next : rest;
    ordered.push(...taken);
    rest = rest.filter((privilege) => !taken.includes(privilege));
  }
  return ordered;
}
