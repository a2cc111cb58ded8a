import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { errorText, PgconvoyError } from '../errors.ts';
import { retryJob } from '../queue/control.ts';
import type { Retrying } from '../queue/control.ts';
import type { QueueName, Queues } from '../queue/queues.ts';

const DESCRIPTIONS: Readonly<Record<QueueName, string>> = {
  run: 'One job per run: it has the lanes of its stage as children',
  gate: 'Approvals that runs wait for',
  operation: 'Short steps',
  copy: 'Initial copies',
  cutover: 'Steps inside a write outage',
  notify: 'What people are told of',
};

/** Their type leaves one of them out. */
const optionsOf = (name: QueueName) => ({ description: DESCRIPTIONS[name], allowCompletedRetries: false });

/** A queue as Bull Board sees it, but a retry is that of `pgconvoy retry`: a whole series of attempts, and never of a cancelled run. */
export class SteeredQueue extends BullMQAdapter {
  readonly #name: QueueName;
  readonly #queues: Queues;
  readonly #steering: Retrying;

  constructor(name: QueueName, queues: Queues, steering: Retrying) {
    super(queues[name], optionsOf(name));
    this.#name = name;
    this.#queues = queues;
    this.#steering = steering;
  }

  override async getJob(id: string): ReturnType<BullMQAdapter['getJob']> {
    const job = await super.getJob(id);
    // A notification belongs to no run: it is just told again.
    if (job && this.#name !== 'notify') job.retry = (state) => this.#retry(id, state);
    return job;
  }

  async #retry(id: string, state: string | undefined): Promise<void> {
    if (state !== 'failed') throw refused(`${id} is completed: what succeeded is not done again.`);
    try {
      await retryJob(this.#queues, id, this.#steering);
    } catch (error) {
      throw error instanceof PgconvoyError ? refused(errorText(error)) : error;
    }
  }
}

/** Bull Board answers with `statusCode` and the message. */
const refused = (message: string): Error => Object.assign(new Error(message), { statusCode: 409 });
