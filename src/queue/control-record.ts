import type { Queues } from './queues.ts';
import type { Approval } from './types.ts';

/**
 * What people decided about a run: the only thing kept in Redis beside the jobs. A hash per run, so that a decision can
 * neither be lost by nor overwrite what the run's own job writes.
 */
export interface ControlRecord {
  readonly cancel?: Approval;
  /** The run that takes back what the cancelled one has done. */
  readonly undoneBy?: string;
  /** By index of the gate's stage. */
  readonly approvals: ReadonlyMap<number, Approval>;
}

const key = (queues: Queues, run: string): string => `${queues.prefix}:control:${run}`;

export async function readControl(queues: Queues, run: string): Promise<ControlRecord> {
  return parse(await queues.redis.hgetall(key(queues, run)));
}

export async function readControls(
  queues: Queues,
  runs: readonly string[],
): Promise<ReadonlyMap<string, ControlRecord>> {
  const pipeline = queues.redis.pipeline();
  for (const run of runs) pipeline.hgetall(key(queues, run));
  const replies = (await pipeline.exec()) ?? [];
  return new Map(
    runs.map((run, index) => {
      const [error, fields] = replies[index] ?? [new Error('no reply')];
      if (error) throw error;
      return [run, parse(fields as Record<string, string>)];
    }),
  );
}

/** One field, since every step asks for it before it begins. */
export async function readCancel(queues: Queues, run: string): Promise<Approval | undefined> {
  const text = await queues.redis.hget(key(queues, run), 'cancel');
  return text === null ? undefined : (JSON.parse(text) as Approval);
}

export async function readApproval(queues: Queues, run: string, stage: number): Promise<Approval | undefined> {
  const text = await queues.redis.hget(key(queues, run), `approval.${stage}`);
  return text === null ? undefined : (JSON.parse(text) as Approval);
}

/** False when somebody else was first. */
export async function writeCancel(queues: Queues, run: string, by: string): Promise<boolean> {
  return (await queues.redis.hsetnx(key(queues, run), 'cancel', JSON.stringify({ by, at: Date.now() }))) === 1;
}
export async function writeUndoneBy(queues: Queues, run: string, undoneBy: string): Promise<void> {
  await queues.redis.hset(key(queues, run), 'undoneBy', undoneBy);
}
/** False when somebody else was first. */
export async function writeApproval(queues: Queues, run: string, stage: number, by: string): Promise<boolean> {
  return (
    (await queues.redis.hsetnx(key(queues, run), `approval.${stage}`, JSON.stringify({ by, at: Date.now() }))) === 1
  );
}
export async function clearCancel(queues: Queues, run: string): Promise<void> {
  await queues.redis.hdel(key(queues, run), 'cancel', 'undoneBy');
}

function parse(fields: Readonly<Record<string, string>>): ControlRecord {
  const approvals = new Map<number, Approval>();
  for (const [field, text] of Object.entries(fields)) {
    if (field.startsWith('approval.'))
      approvals.set(Number(field.slice('approval.'.length)), JSON.parse(text) as Approval);
  }
  return {
    ...(fields['cancel'] === undefined ? {} : { cancel: JSON.parse(fields['cancel']) as Approval }),
    ...(fields['undoneBy'] === undefined ? {} : { undoneBy: fields['undoneBy'] }),
    approvals,
  };
}
