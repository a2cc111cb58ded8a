import type { Queues } from './queues.ts';
import type { Approval } from './types.ts';

/**
 * What people decided about a run: the only thing kept beside the jobs. A note for each decision, so that it can
 * neither be lost by nor overwrite what the run's own job writes.
 */
export interface ControlRecord {
  readonly cancel?: Approval;
  /** The run that takes back what the cancelled one has done. */
  readonly undoneBy?: string;
  /** By index of the gate's stage. */
  readonly approvals: ReadonlyMap<number, Approval>;
}

export async function readControl(queues: Queues, run: string): Promise<ControlRecord> {
  const [notes] = await queues.store.readNotes([run]);
  return parse(notes ?? {});
}

export async function readControls(
  queues: Queues,
  runs: readonly string[],
): Promise<ReadonlyMap<string, ControlRecord>> {
  const notes = await queues.store.readNotes(runs);
  return new Map(runs.map((run, index) => [run, parse(notes[index] ?? {})]));
}

/** One field, since every step asks for it before it begins. */
export async function readCancel(queues: Queues, run: string): Promise<Approval | undefined> {
  return approvalOf(await queues.store.readNote(run, 'cancel'));
}

export async function readApproval(queues: Queues, run: string, stage: number): Promise<Approval | undefined> {
  return approvalOf(await queues.store.readNote(run, `approval.${stage}`));
}

/** False when somebody else was first. */
export async function writeCancel(queues: Queues, run: string, by: string): Promise<boolean> {
  return queues.store.addNote(run, 'cancel', JSON.stringify({ by, at: Date.now() }));
}
export async function writeUndoneBy(queues: Queues, run: string, undoneBy: string): Promise<void> {
  await queues.store.writeNote(run, 'undoneBy', undoneBy);
}
/** False when somebody else was first. */
export async function writeApproval(queues: Queues, run: string, stage: number, by: string): Promise<boolean> {
  return queues.store.addNote(run, `approval.${stage}`, JSON.stringify({ by, at: Date.now() }));
}
export async function clearCancel(queues: Queues, run: string): Promise<void> {
  await queues.store.removeNotes(run, ['cancel', 'undoneBy']);
}

const approvalOf = (text: string | undefined): Approval | undefined =>
  text === undefined ? undefined : (JSON.parse(text) as Approval);

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
