import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { walMarker } from '../../postgres/catalog/fence.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { blockersOf, describeBlocker } from '../../postgres/locks.ts';
import { id, lit, sql, trustedStatement } from '../../postgres/sql.ts';
import { hasRun, writeRecord } from '../drift/ddl-record.ts';
import type { DdlRecord } from '../drift/ddl-record.ts';
import { patiently } from '../drift/patiently.ts';
import type { ReplicationEngine } from '../../replication/engine.ts';
import { pairOf } from '../replication/pair.ts';
import type { DdlPlan } from './statements.ts';

/** Codes of "somebody holds it": lock_timeout, deadlock. */
const LOCKED = new Set(['55P03', '40P01']);
/** Codes of what was made or dropped before: table or index, object, column; function; undefined object. */
const DONE_BEFORE = new Set(['42P07', '42710', '42701', '42723', '42704']);
const LOOK_FIRST_MS = 5;
const LOOK_MOST_MS = 100;

type ReplicateDdl = NonNullable<ReplicationEngine['replicateDdl']>;

interface Running {
  readonly context: OperationContext;
  readonly plan: DdlPlan;
  readonly record: DdlRecord;
  /** Rows travel: the order in which both sides change counts. */
  readonly streams: boolean;
  /** Who runs it on the source: on the target the same, so that what is made belongs to the same. */
  readonly user: string;
  /** Where that user looks for names in this database on the source; our own sessions look nowhere. */
  readonly path: string;
}

/**
 * Runs statements on both sides so that no row on its way meets the wrong table, in one transaction on each side. Where it was killed
 * between the two, running it again does what is left.
 * @throws PgconvoyError that names the side and its objection; then neither side has changed, unless it says otherwise
 */
export async function runOnBothSides(context: OperationContext, plan: DdlPlan, record: DdlRecord): Promise<DdlRecord> {
  const pair = pairOf(context);
  const { enabled } = await context.engine.subscription(pair);
  const names = await context.source.one(Names, namesOfUser());
  const running: Running = { context, plan, record, streams: enabled, ...names };
  const onSource = await hasRun(context.source, record.source);
  const onTarget = await hasRun(context.target, record.target);
  if (onSource && onTarget) return record;
  if (plan.order === 'alone' || plan.order === 'alone-source-first') return runAlone(running, { onSource, onTarget });
  const { replicateDdl } = context.engine;
  if (replicateDdl && running.streams)
    return onSource ? finishInStream(context, record) : runInStream(running, replicateDdl);
  if (onSource) return finishOnTarget(running);
  return patiently(running.context, () => runTogether(running));
}

const Names = z.object({ user: z.string(), path: z.string() });

/** @see https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html */
const namesOfUser = () => sql`
  select session_user::text as user,
         coalesce((select substring(c.setting from 13)
                     from pg_db_role_setting s, unnest(s.setconfig) as c (setting)
                    where c.setting like 'search\_path=%'
                      and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
                      and s.setrole in (0, (select oid from pg_roles where rolname = session_user))
                    order by s.setrole <> 0 desc, s.setdatabase <> 0 desc limit 1), '"$user", public') as path`;

const Transaction = z.object({ transaction: z.string() });

/**
 * One transaction on each side, both ready before either commits, the source first: a target that has not followed yet takes no row
 * that it cannot (it waits for its own lock, and after a crash its worker tries again until the command is run again).
 */
async function runTogether(running: Running): Promise<DdlRecord> {
  const { context, plan, record } = running;
  const [source, target] = [context.source.fork(), context.target.fork()];
  try {
    let done = record;
    if (running.streams) await untilApplied(context, context.settings.deadlines.lock);
    await target.transaction(async () => {
      const first = plan.order === 'target-first' ? await runStatements(running, target) : undefined;
      await source.transaction(async () => {
        const onSource = await runStatements(running, source);
        // Who has written to these tables has committed by now, and nobody else can before we do.
        if (running.streams && first === undefined) await untilApplied(context, context.settings.deadlines.lockTimeout);
        done = { ...record, source: onSource, target: first ?? (await runStatements(running, target)) };
        await writeRecord(context, done);
      });
    });
    return done;
  } finally {
    await Promise.all([giveBack(source), giveBack(target)]);
  }
}

class Rehearsed extends Error {}

/**
 * An engine that carries statements too runs them where they belong in the stream. What the target thinks of them is asked before, in a
 * transaction that is rolled back: in the stream it would say that to its log alone, and take no more rows.
 */
async function runInStream(running: Running, replicate: ReplicateDdl): Promise<DdlRecord> {
  const { context, plan, path } = running;
  const [source, target] = [context.source.fork(), context.target.fork()];
  let done = running.record;
  const send = async () => {
    const rehearsal = target.transaction(async () => {
      await runStatements(running, target);
      throw new Rehearsed();
    });
    await rehearsal.catch((error: unknown) => {
      if (!(error instanceof Rehearsed)) throw error;
    });
    await source.transaction(async () => {
      await source.run(sql`set local lock_timeout = ${lit(String(context.settings.deadlines.lockTimeout))}`);
      await namingBlockers(context, source, () =>
        replicate(source, plan.statements, path).catch((error: unknown) => {
          throw explained(error, plan.statements.slice(0, 1), 0, 'Neither side has changed. ');
        }),
      );
      done = { ...done, source: await transactionOf(source) };
      await writeRecord(context, done);
    });
  };
  try {
    await patiently(context, send);
  } finally {
    await Promise.all([giveBack(source), giveBack(target)]);
  }
  return finishInStream(context, done);
}

/** What the source has committed is on its way. */
async function finishInStream(context: OperationContext, record: DdlRecord): Promise<DdlRecord> {
  await untilApplied(
    context,
    context.settings.deadlines.catchUp,
    'The source has changed; the target follows in the stream.',
  );
  const done: DdlRecord = { ...record, target: true };
  await writeRecord(context, done);
  return done;
}

/** After a crash between the two commits: what came before it in the stream has been applied, what comes after it waits for this. */
async function finishOnTarget(running: Running): Promise<DdlRecord> {
  const target = running.context.target.fork();
  try {
    return await patiently(running.context, async () => {
      let done = running.record;
      await target.transaction(async () => {
        done = { ...running.record, target: await runStatements(running, target) };
        await writeRecord(running.context, done);
      });
      return done;
    });
  } finally {
    await giveBack(target);
  }
}

/** Outside of a transaction: what a killed attempt has left is told by the server alone, which then says that it is there already. */
async function runAlone(
  { context, plan, record, user, path }: Running,
  { onSource, onTarget }: { readonly onSource: boolean; readonly onTarget: boolean },
): Promise<DdlRecord> {
  let done: DdlRecord = { ...record, begun: true };
  await writeRecord(context, done);
  const sides = [
    { side: 'target', has: onTarget, session: context.target.fork() },
    { side: 'source', has: onSource, session: context.source.fork() },
  ] as const;
  try {
    for (const { side, has, session } of plan.order === 'alone' ? sides : sides.toReversed()) {
      if (has) continue;
      try {
        if (side === 'target') await session.run(sql`set role ${id(user)}`);
        await session.many(z.object({}), sql`select pg_catalog.set_config('search_path', ${path}, false)`);
        await session.run(trustedStatement(plan.statements[0]!));
      } catch (error) {
        if (!(record.begun && error instanceof DatabaseError && DONE_BEFORE.has(error.sqlstate)))
          throw explained(
            error,
            plan.statements,
            0,
            done.target === null && done.source === null
              ? 'Neither side has changed. '
              : `The ${side === 'target' ? 'source' : 'target'} has it already. `,
          );
      }
      done = { ...done, [side]: true };
      await writeRecord(context, done);
    }
    return done;
  } finally {
    await Promise.all(sides.map(({ session }) => giveBack(session)));
  }
}

/** Whatever the statements have set in the session does not meet the next step. */
async function giveBack(session: Database): Promise<void> {
  await session.run(sql`reset role`).catch(() => {});
  await session.run(sql`discard all`).catch(() => {});
  await session.close();
}

/** Runs all statements in the session's transaction and returns its number. Settings made in it end with it. */
async function runStatements({ context, plan, user, path }: Running, session: Database): Promise<string> {
  const { deadlines } = context.settings;
  await session.run(sql`set local lock_timeout = ${lit(String(deadlines.lockTimeout))}`);
  if (session.side === 'target') await session.run(sql`set local role ${id(user)}`);
  await session.many(z.object({}), sql`select pg_catalog.set_config('search_path', ${path}, true)`);
  for (const [index, statement] of plan.statements.entries()) {
    context.progress({ done: index, total: plan.statements.length, note: `${session.side}: statement ${index + 1}` });
    await namingBlockers(context, session, async () => {
      try {
        await session.run(trustedStatement(statement));
      } catch (error) {
        throw explained(error, plan.statements, index, 'Neither side has changed. ');
      }
    });
  }
  return transactionOf(session);
}

const transactionOf = async (session: Database): Promise<string> =>
  (await session.one(Transaction, sql`select pg_catalog.txid_current()::text as transaction`)).transaction;

/** The server's objection, with which statement it is about and what has become of the rest. */
function explained(error: unknown, statements: readonly string[], index: number, state: string): unknown {
  if (!(error instanceof DatabaseError) || LOCKED.has(error.sqlstate)) return error;
  const which = statements.length > 1 ? ` (statement ${index + 1} of ${statements.length})` : '';
  const { sqlstate, disposition } = error;
  return new DatabaseError(`${error.message}${which}`, {
    hint: `${state}Mend the statement, or what it meets, and run it again.`,
    sqlstate,
    disposition,
  });
}

const Pid = z.object({ pid: z.number() });

/** A lock that was not had in time says who holds it. */
async function namingBlockers(context: OperationContext, session: Database, body: () => Promise<void>): Promise<void> {
  const { pid } = await session.one(Pid, sql`select pg_catalog.pg_backend_pid() as pid`);
  const asking = new AbortController();
  const other = session.side === 'source' ? context.source : context.target;
  const blockers = sleep(context.settings.deadlines.lockTimeout / 2, undefined, { signal: asking.signal })
    .then(() => blockersOf(other, pid))
    .catch(() => []);
  try {
    await body();
  } catch (error) {
    if (!(error instanceof DatabaseError && LOCKED.has(error.sqlstate))) throw error;
    const [first, ...more] = await blockers;
    const who = first ? [first, ...more].slice(0, 5).map(describeBlocker).join('; ') : 'its holder has just gone';
    throw new DatabaseError(`${error.message}: the lock is held by ${who}`, {
      hint: first?.pid
        ? `Let it end, or on the ${session.side}: SELECT pg_terminate_backend(${first.pid}); then run the command again. Neither side has changed.`
        : 'Run the command again. Neither side has changed.',
      disposition: 'wait',
      sqlstate: error.sqlstate,
      cause: error,
    });
  } finally {
    asking.abort();
  }
}

const Marked = z.object({ lsn: z.string() });

/** The target has applied everything that is committed on the source now. */
async function untilApplied(
  context: OperationContext,
  deadlineMs: number,
  state = 'Neither side has changed.',
): Promise<void> {
  const { engine, source, signal, progress } = context;
  const { lsn } = await source.one(Marked, walMarker());
  const started = Date.now();
  for (
    let pause = LOOK_FIRST_MS;
    !(await engine.reached(pairOf(context), lsn));
    pause = Math.min(LOOK_MOST_MS, pause * 1.5)
  ) {
    signal.throwIfAborted();
    if (Date.now() - started > deadlineMs) {
      throw new DeadlineExceeded(
        `target, database "${source.name}": it has not applied everything up to ${lsn} within ${deadlineMs} ms`,
        {
          hint: `See pgconvoy status; when the target has caught up, run the command again. Raise deadlines.lockTimeout if it is always a little behind. ${state}`,
          disposition: 'wait',
        },
      );
    }
    progress({ done: Date.now() - started, total: deadlineMs, unit: 'milliseconds', note: `waiting for ${lsn}` });
    await sleep(pause, undefined, { signal });
    // What was applied is not on the target's disk yet, and only that is confirmed, when something comes that asks for an answer: a
    // commit on the target brings it there, one on the source asks.
    await context.target.run(walMarker());
    await source.run(walMarker());
  }
}
