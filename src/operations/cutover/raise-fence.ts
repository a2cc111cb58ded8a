import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import {
  EndedSession,
  FenceState,
  RemainingWriter,
  SessionStarts,
  endSessions,
  fenceState,
  remainingWriters,
  sessionStarts,
} from '../../postgres/catalog/fence.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import { pauseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { claimFence } from './claim-fence.ts';
import { beforeFence, markWal, others, proofKey, untilUndisturbed } from './fence.ts';
import type { FenceContext, FenceProof } from './fence.ts';
import { giveBack } from './give-back.ts';

/** Time between two looks whether the ended sessions are gone, milliseconds. */
const LOOK_FIRST_MS = 4;
const LOOK_MOST_MS = 100;

/**
 * Raises the fence: nobody but superusers and our replication role may connect, new transactions are read-only, all sessions are
 * ended, and it is proven that nobody writes. The position of the WAL is taken after that, so that it is behind every
 * acknowledged write.
 * @param look what must hold behind it; where that throws, the fence is taken down again
 * @throws DeadlineExceeded, with the fence taken down again, naming who stayed.
 */
export async function raiseFence(
  context: FenceContext & TrafficContext,
  look: () => Promise<void>,
): Promise<FenceProof> {
  const { source, sourceCluster, sourceLedger, settings, log } = context;
  const { maintenance } = sourceCluster;
  const deadline = Date.now() + settings.deadlines.fence;
  // What a fence could not end is looked for while the application still runs.
  await refuseWriters(context);
  // Its sessions would be ended too, with a statement of a client in each: paused it has none.
  await pauseTraffic(context);
  const state = await maintenance.one(FenceState, fenceState(source.name));
  await sourceLedger.forget(proofKey(source.name));
  await claimFence(context, beforeFence(state));
  await untilUndisturbed(() => shut(context, state));
  let ended: readonly EndedSession[];
  try {
    ended = await proveNobodyWrites(context, deadline);
    await look();
  } catch (error) {
    if (context.signal.aborted) throw error;
    // Whatever it was that went wrong, the application gets its database back.
    await giveBack(context);
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
