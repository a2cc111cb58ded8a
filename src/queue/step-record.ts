import type { Finding } from '../engine/finding.ts';
import type { Progress } from '../engine/operation.ts';
import type { AttemptView, RepeatedStep, StepError, StepExecution } from './types.ts';

/** What a step's job keeps in its BullMQ progress: everything that must outlive a failed attempt. */
export interface StepRecordData {
  readonly progress?: Progress | undefined;
  readonly findings?: readonly Finding[] | undefined;
  readonly error?: StepError | undefined;
  /** Somebody holds what the step needs: since when, and how often it asked. */
  readonly waiting?: { readonly since: number; readonly count: number } | undefined;
  readonly attempts?: readonly AttemptView[] | undefined;
  /** A person wanted it tried again after it had failed for good. */
  readonly again?: true | undefined;
  /** Steps that were done once more within this one. */
  readonly repeated?: readonly RepeatedStep[] | undefined;
}

/** The part of BullMQ's Job that is needed. */
interface Store {
  readonly progress: unknown;
  updateProgress(value: object): Promise<void>;
}

const INTERVAL = 350;
const KEPT_ATTEMPTS = 20;

/** Tells a step of a run that was done once more from others. */
export const repeatedKey = ({ stage, key, database }: Pick<RepeatedStep, 'stage' | 'key' | 'database'>): string =>
  JSON.stringify([stage, key, database ?? null]);

/**
 * Writes the record of one attempt: at most three times a second, one write at a time, the latest state wins. What goes
 * wrong with writing never reaches the step.
 */
export class StepRecord {
  #data: StepRecordData;
  readonly #job: Store;
  readonly #repeated: Map<string, RepeatedStep>;
  /** Its last attempt had failed for good or was cancelled: a person wants this one. */
  readonly asked: boolean;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #dirty = false;
  #closed = false;

  constructor(job: Store, attempt: number, startedAt: number) {
    this.#job = job;
    const kept = typeof job.progress === 'object' && job.progress !== null ? (job.progress as StepRecordData) : {};
    const last = kept.attempts?.at(-1)?.outcome;
    this.asked = last === 'failed' || last === 'cancelled';
    this.#data = {
      waiting: kept.waiting,
      ...(this.asked || kept.again ? { again: true as const } : {}),
      attempts: [...(kept.attempts ?? []).slice(1 - KEPT_ATTEMPTS), { attempt, startedAt }],
    };
    this.#repeated = new Map((kept.repeated ?? []).map((step) => [repeatedKey(step), step]));
  }

  /** Which series of attempts this is one of: the last attempt before it that has failed for good, 0 in the first series. */
  get series(): number {
    return this.#data.attempts?.findLast(({ outcome }) => outcome === 'failed')?.attempt ?? 0;
  }

  get waiting(): StepRecordData['waiting'] {
    return this.#data.waiting;
  }

  get again(): boolean {
    return this.#data.again === true;
  }

  /** Whoever goes on after this worker was killed shall see that this attempt has begun. */
  async begun(): Promise<void> {
    this.#dirty = true;
    await this.#write();
  }

  readonly progress = (progress: Progress): void => {
    if (this.#closed) return;
    this.#data = { ...this.#data, progress };
    this.#writeSoon();
  };

  async findings(findings: readonly Finding[]): Promise<void> {
    this.#data = { ...this.#data, findings };
    this.#dirty = true;
    await this.#write();
  }

  readonly repeated: StepExecution['repeated'] = (step) => {
    if (this.#closed) return;
    const key = repeatedKey(step);
    const times = (this.#repeated.get(key)?.times ?? 0) + (step.changed ? 1 : 0);
    this.#repeated.set(key, { ...step, times, finishedAt: Date.now() });
    this.#writeSoon();
  };

  /** The last write of the attempt. Resolves when it is stored, or after `patience` milliseconds. */
  async finish(
    outcome: NonNullable<AttemptView['outcome']>,
    end: Pick<StepRecordData, 'error' | 'waiting'> = {},
    patience = 2_000,
  ): Promise<void> {
    const attempts = this.#data.attempts ?? [];
    const last = attempts.at(-1);
    this.#data = {
      ...this.#data,
      error: end.error,
      waiting: end.waiting,
      attempts: last ? [...attempts.slice(0, -1), { ...last, finishedAt: Date.now(), outcome }] : attempts,
    };
    this.#dirty = true;
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#write(),
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, patience);
      }),
    ]);
    clearTimeout(timer);
    this.close();
  }

  /** Nothing is written from here on: the job may be somebody else's. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #writeSoon(): void {
    this.#dirty = true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, INTERVAL);
  }

  async #write(): Promise<void> {
    while (this.#writing) await this.#writing;
    if (!this.#dirty || this.#closed) return;
    this.#dirty = false;
    this.#writing = this.#job
      .updateProgress({ ...this.#data, ...(this.#repeated.size > 0 ? { repeated: [...this.#repeated.values()] } : {}) })
      .catch(() => undefined)
      .finally(() => {
        this.#writing = undefined;
      });
    await this.#writing;
  }
}
