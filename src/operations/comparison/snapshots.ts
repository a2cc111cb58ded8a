import * as z from 'zod';
import type { Finding } from '../../engine/finding.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { lit, sql } from '../../postgres/sql.ts';

/**
 * How long what both sides held at the cutover is kept for the comparison after it. As long as it is, neither cluster can vacuum rows away
 * that were deleted since.
 */
const KEPT_MS = 6 * 3_600_000;

const HeldSnapshot = z.object({ name: z.string(), pid: z.number(), since: z.string() });

const KeptFinding: z.ZodType<Finding> = z.looseObject({
  code: z.string(),
  severity: z.enum(['block', 'warning']),
  side: z.enum(['source', 'target']),
  database: z.string().optional(),
  object: z.string().optional(),
  message: z.string(),
  remedy: z.string(),
});

/** The target's note of what is to be compared after the opening. */
const Note = z.object({
  run: z.string(),
  /** Tables that were not compared before; null: none was. */
  left: z.array(z.object({ schema: z.string(), name: z.string() })).nullable(),
  source: HeldSnapshot,
  target: HeldSnapshot,
  /** What was found: then the snapshots are not needed any more, and the finding stays. */
  found: z.array(KeptFinding).optional(),
});
export type SnapshotNote = z.output<typeof Note>;

const key = (database: string) => ({ kind: 'comparison', database });

export type SnapshotContext = Pick<
  OperationContext,
  'source' | 'target' | 'sourceCluster' | 'targetCluster' | 'targetLedger'
>;

/** Keeps readable what both sides hold now, behind the fence and before the target opens. */
export async function holdSnapshots(
  context: SnapshotContext & Pick<OperationContext, 'run'>,
  left: SnapshotNote['left'],
): Promise<void> {
  const { source, target, targetLedger, run } = context;
  await dropSnapshots(context);
  const [there, here] = await Promise.all([source.holdSnapshot(KEPT_MS), target.holdSnapshot(KEPT_MS)]);
  await targetLedger.replace(key(source.name), {
    run: run.id,
    left,
    source: there,
    target: here,
  } satisfies SnapshotNote);
}

export async function snapshotNote({
  source,
  targetLedger,
}: Pick<SnapshotContext, 'source' | 'targetLedger'>): Promise<SnapshotNote | undefined> {
  const entry = await targetLedger.find(key(source.name));
  return entry && Note.parse(entry.before);
}

/** Whether both can still be read: they end with the worker that holds them. */
export async function areHeld({ source, target }: SnapshotContext, note: SnapshotNote): Promise<boolean> {
  const can = async (side: 'source' | 'target') => {
    const database = side === 'source' ? source : target;
    try {
      await database.transaction(async () => {
        await database.run(sql`set transaction isolation level repeatable read, read only`);
        await database.run(sql`set transaction snapshot ${lit(note[side].name)}`);
      });
      return true;
    } catch (error) {
      // The server is there, and does not know it.
      if (error instanceof DatabaseError && !/^(08|57)/.test(error.sqlstate)) return false;
      throw error;
    }
  };
  return (await can('source')) && (await can('target'));
}

/** Lets go of the snapshots and keeps what was found in them. */
export async function keepFound(
  context: SnapshotContext,
  note: SnapshotNote,
  found: readonly Finding[],
): Promise<void> {
  await context.targetLedger.replace(key(context.source.name), { ...note, found: [...found] } satisfies SnapshotNote);
  await release(context, note);
}

/**
 * Ends the sessions that hold what both sides held at a cutover, in whichever worker they are, and forgets them. To be called whenever a
 * database is given back instead of opened. Says whether there was anything.
 */
export async function dropSnapshots(context: SnapshotContext): Promise<boolean> {
  const note = await snapshotNote(context);
  if (!note) return false;
  await release(context, note);
  await context.targetLedger.forget(key(context.source.name));
  return true;
}

async function release({ sourceCluster, targetCluster }: SnapshotContext, note: SnapshotNote): Promise<void> {
  await Promise.all([end(sourceCluster, note.source), end(targetCluster, note.target)]);
}

async function end(cluster: BoundCluster, { pid, since }: z.output<typeof HeldSnapshot>): Promise<void> {
  await cluster.maintenance.run(
    sql`select pg_terminate_backend(pid) from pg_stat_activity
         where pid = ${pid} and backend_start::text = ${since} and application_name like 'pgconvoy%'`,
  );
}
