import { DelayedError } from 'bullmq';
import type { Job, Processor } from 'bullmq';
import { createHash } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { errorText, PgconvoyError, withoutSecrets } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Queues } from './queues.ts';
import { redactedError } from './redact.ts';
import { failureText, stepErrorOf } from './step-error.ts';

/** What people can be told of; `trial`: nothing has happened, somebody tries whether messages arrive. */
type NoticeEvent = Config['notifications']['webhooks'][number]['on'][number] | 'trial';

/** One thing that has happened. Never a secret. */
export interface Notice {
  /** The same however often it is told: nobody hears of it twice. */
  readonly id: string;
  readonly event: NoticeEvent;
  readonly run?: string;
  readonly workflow?: string;
  /** Of a failure: its step. */
  readonly step?: string;
  readonly database?: string;
  /** What happened, in a sentence without full stop; why, where there is a cause; what to do next. */
  readonly what: string;
  readonly why?: string;
  readonly next: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What goes to a webhook at once: one notice, or several failures of a run. */
export interface Message {
  /** The same in each attempt, so that whoever receives it can tell a repetition. */
  readonly id: string;
  readonly notices: readonly Notice[];
}

/** Somebody who is told of some events. Where, and with which secrets, only the configuration of a worker knows. */
export interface Listener {
  readonly name: string;
  readonly on: readonly NoticeEvent[];
}

/**
 * Brings a message to the listener of that name.
 * @throws PgconvoyError that names neither address nor header
 */
export type Deliver = (listener: string, message: Message, signal: AbortSignal) => Promise<void>;

export interface Notifying {
  readonly listeners: readonly Listener[];
  readonly deliver: Deliver;
}

/** Enqueues a notice for all who want it. Never throws, and nobody has to wait for it. */
export type Tell = (notice: Notice) => Promise<void>;

/** What the job of a notice holds: names only. */
export interface NoticeData {
  readonly listener: string;
  readonly notices: readonly Notice[];
  /** The job that has taken it along in its message. */
  readonly toldWith?: string;
}

/** Failures come in crowds, when a server goes away: these are told together. */
const GATHERED: NoticeEvent = 'failed-step';
const ATTEMPTS = 8;
/** As many finished ones are remembered, so that nothing is told twice. */
const KEPT = 5_000;
/** Longer than the slowest Redis takes; a step is not held up by it. */
const PATIENCE_MS = 2_000;

export function teller(queues: Queues, listeners: readonly Listener[], log: Logger, gatherMs: number): Tell {
  const tell = async (notice: Notice, wanted: readonly Listener[]) => {
    await queues.notify.addBulk(
      wanted.map(({ name }) => ({
        name: notice.event,
        data: { listener: name, notices: [notice] } satisfies NoticeData,
        opts: {
          jobId: jobId(notice, name),
          attempts: ATTEMPTS,
          backoff: { type: 'growing' },
          removeOnComplete: { count: KEPT },
          removeOnFail: { count: KEPT },
          stackTraceLimit: 0,
          ...(notice.event === GATHERED ? { delay: gatherMs } : {}),
        },
      })),
    );
  };
  return async (notice) => {
    const wanted = listeners.filter(({ on }) => notice.event !== 'trial' && on.includes(notice.event));
    if (wanted.length === 0) return;
    const failed = (error: unknown) =>
      log.warn(
        { event: notice.event, error: withoutSecrets(errorText(error)) },
        'a notification could not be enqueued',
      );
    const telling = tell(notice, wanted).catch(failed);
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([telling, new Promise<void>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS)))]);
    clearTimeout(timer);
  };
}

/** No colon, not an integer; the name of a listener may be anything. */
const jobId = (notice: Notice, listener: string): string =>
  `${notice.id}.${createHash('sha256').update(listener).digest('hex').slice(0, 8)}`.replaceAll(':', '-');

interface NoticeProcessorOptions {
  readonly queues: Queues;
  readonly deliver: Deliver;
  readonly log: Logger;
  readonly isStopping: () => boolean;
  readonly handOverDelayMs: number;
}

/** The processor of the queue `notify`, which one worker of all does at a time. What goes wrong here concerns no run. */
export function noticeProcessor({ queues, deliver, log, ...options }: NoticeProcessorOptions): Processor<NoticeData> {
  // Three plain parameters: BullMQ gives a signal only to a function whose length says so.
  return async function processNotice(
    job: Job<NoticeData>,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (job.data.toldWith !== undefined) return;
    const { listener, notices } = await gathered(queues, job);
    const bound = log.child({ webhook: listener, event: job.name, run: notices[0]?.run });
    try {
      await deliver(listener, { id: job.id!, notices }, signal!);
      bound.info({ notices: notices.length }, 'told');
    } catch (error) {
      if (options.isStopping()) {
        await job.moveToDelayed(Date.now() + options.handOverDelayMs, token);
        throw new DelayedError();
      }
      if (!(error instanceof PgconvoyError)) bound.error({ err: redactedError(error) }, 'unexpected error');
      const kept = stepErrorOf(error);
      const attempts = job.opts.attempts ?? 1;
      const isLast = job.attemptsMade + 1 >= attempts;
      if (isLast) bound.error({ error: kept, attempts }, 'a notification is given up');
      else bound.warn({ error: kept, attempt: job.attemptsMade + 1, attempts }, 'could not be told, will try again');
      const plain = new Error(failureText(kept));
      plain.stack = plain.message;
      throw plain;
    }
  };
}

/** Takes along what else waits to be told of the same run; its jobs have nothing left to do then. */
async function gathered({ notify }: Queues, job: Job<NoticeData>): Promise<NoticeData> {
  const { data, name } = job;
  if (name !== GATHERED || data.notices.length > 1) return data;
  const waiting: Job<NoticeData>[] = await notify.getJobs(['delayed', 'waiting', 'prioritized']);
  const others = waiting.filter(
    (other) =>
      other?.id !== undefined &&
      other.id !== job.id &&
      other.name === GATHERED &&
      other.data.toldWith === undefined &&
      other.data.listener === data.listener &&
      other.data.notices[0]?.run === data.notices[0]?.run,
  );
  if (others.length === 0) return data;
  const all: NoticeData = {
    ...data,
    notices: [...data.notices, ...others.flatMap((other) => other.data.notices)].toSorted((a, b) => a.at - b.at),
  };
  // Ours first: whoever dies between the two tells something twice, and forgets nothing.
  await job.updateData(all);
  await Promise.all(others.map((other) => other.updateData({ ...other.data, toldWith: job.id! })));
  return all;
}
