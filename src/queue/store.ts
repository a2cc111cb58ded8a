import type { FlowProducer, Processor, Queue, Worker, WorkerOptions } from 'bullmq';
import type { Config } from '../config/schema.ts';
import { PgconvoyError } from '../errors.ts';

/** The part `queue` of the configuration, its secrets resolved. */
export type QueueConfig = Config['queue'];

/**
 * `command`: fails at once when the queue is down, so that a person sees it. `worker`: once connected it outlives any
 * outage, with at most two seconds between attempts.
 */
export type Profile = 'command' | 'worker';

/**
 * Says which servers are to be upgraded: on them no queue may be.
 * @param made whether the queue has tables already
 */
export type Identify = (made: boolean) => Promise<
  readonly {
    readonly side: 'source' | 'target';
    readonly systemIdentifier?: string;
    /** Why it cannot be asked. */
    readonly away?: PgconvoyError;
  }[]
>;

/** Where a job is that is not finished well; `waiting` whatever its priority. */
export interface JobPlace {
  readonly queue: string;
  readonly id: string;
  readonly state: 'active' | 'waiting' | 'delayed' | 'failed';
  /** Of a delayed one: when its time comes, in milliseconds since 1970. */
  readonly due?: number;
}

export interface JobName {
  readonly queue: string;
  readonly id: string;
}

/** What is read of a job, as text; times in milliseconds since 1970. */
export interface JobFields {
  /** How often it was started. */
  readonly ats: string | null;
  readonly processedOn: string | null;
  /** Null again after a retry. */
  readonly finishedOn: string | null;
  readonly failedReason: string | null;
  /** JSON; null unless it was completed. */
  readonly returnvalue: string | null;
  /** JSON. */
  readonly progress: string | null;
  /** The worker that had it last. */
  readonly pb: string | null;
  readonly timestamp: string | null;
  readonly exists: boolean;
}

/** Something about the server that can lose runs. Data, not an error: a try-out may live with it. */
export interface QueueWarning {
  readonly message: string;
  readonly remedy: string;
}

/**
 * Where the jobs are kept: Redis or PostgreSQL. BullMQ has the same classes for both; here is what it does not offer, or only
 * a job at a time.
 */
export interface Store {
  /** Without user and password, for messages. */
  readonly address: string;

  queue(name: string): Queue;
  flow(): FlowProducer;
  worker(name: string, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker;

  /** The jobs of these queues that are in one of these states. */
  inState(queues: readonly string[], states: readonly JobPlace['state'][]): Promise<readonly JobPlace[]>;
  /** In the same order. */
  jobs(names: readonly JobName[]): Promise<readonly JobFields[]>;
  /** The lines that each has logged, in the same order. */
  logs(names: readonly JobName[]): Promise<readonly (readonly string[])[]>;
  /** Ids of the children of a job that were completed. */
  completedChildren(parent: JobName): Promise<readonly string[]>;
  /** The jobs of a queue that were completed at or after a time, oldest first. */
  completedSince(queue: string, at: number): Promise<readonly { readonly id: string; readonly at: number }[]>;
  /** Names of the workers that listen to a queue. */
  listening(queue: Queue): Promise<readonly string[]>;

  /** What people have decided about runs, as fields of text. */
  readNotes(runs: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]>;
  readNote(run: string, field: string): Promise<string | undefined>;
  writeNote(run: string, field: string, text: string): Promise<void>;
  /** False when there is one already: it stays. */
  addNote(run: string, field: string, text: string): Promise<boolean>;
  removeNotes(run: string, fields: readonly string[]): Promise<void>;

  /**
   * Runs `body` while nobody else, on any machine, is in here.
   * @returns undefined when somebody else stayed in for `patienceMs`.
   */
  oneAtATime<T>(patienceMs: number, body: () => Promise<T>): Promise<{ readonly result: T } | undefined>;

  /** Whether it is there right now; never throws, and waits no longer than `milliseconds`. */
  answers(milliseconds: number): Promise<boolean>;
  /** What about the server can lose runs. */
  warnings(): Promise<readonly QueueWarning[]>;
  /** The one text for what the way to the server throws; undefined for any other error. */
  explain(error: unknown): PgconvoyError | undefined;
  close(): Promise<void>;
}

/** Whatever holds a store: the queues, or the store alone. */
export interface HasStore {
  readonly store: Store;
}

/** Runs something that talks to the queue; what the way there throws becomes the one text. */
export async function reach<T>({ store }: HasStore, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw (error instanceof PgconvoyError ? undefined : store.explain(error)) ?? error;
  }
}

/** Whether the queue is there right now; never throws, and waits no longer than `milliseconds`. */
export const answers = ({ store }: HasStore, milliseconds: number): Promise<boolean> => store.answers(milliseconds);

/** What about the server can lose runs. */
export const checkServer = (has: HasStore): Promise<readonly QueueWarning[]> => reach(has, () => has.store.warnings());

/** @throws Error when there is no answer in time */
export async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds / 1_000} s`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
