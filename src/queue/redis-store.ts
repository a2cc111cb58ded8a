import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { FlowProducer, Queue, Worker } from 'bullmq';
import type { Processor, WorkerOptions } from 'bullmq';
import type { ChainableCommander } from 'ioredis';
import type { PgconvoyError } from '../errors.ts';
import { explainRedis, warningsOfRedis } from './redis-connection.ts';
import type { RedisConnection } from './redis-connection.ts';
import { inTime } from './store.ts';
import type { JobFields, JobName, JobPlace, QueueWarning, Store } from './store.ts';

/** The lists and sorted sets of a queue that hold ids of jobs, by what we call the state. */
const KEYS: Readonly<Record<JobPlace['state'], readonly { readonly key: string; readonly sorted: boolean }[]>> = {
  active: [{ key: 'active', sorted: false }],
  waiting: [
    { key: 'wait', sorted: false },
    { key: 'prioritized', sorted: true },
  ],
  delayed: [{ key: 'delayed', sorted: true }],
  failed: [{ key: 'failed', sorted: true }],
};

const FIELDS = [
  'ats',
  'processedOn',
  'finishedOn',
  'failedReason',
  'returnvalue',
  'progress',
  'pb',
  'timestamp',
] as const;
/** Jobs asked for in one round trip. */
const CHUNK = 2_000;
/** Whoever dies while it is alone keeps the others out no longer. */
const ALONE_MOST_MS = 10_000;

/** Redis, or what speaks as it does. Notes are a hash per run, beside the keys of BullMQ. */
export class RedisStore implements Store {
  readonly address: string;
  readonly #redis: RedisConnection['redis'];
  readonly #connection: RedisConnection;
  readonly #options: { readonly connection: RedisConnection['redis']; readonly prefix: string };

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    this.#redis = connection.redis;
    this.address = connection.address;
    this.#options = { connection: connection.redis, prefix: connection.prefix };
  }

  queue(name: string): Queue {
    return new Queue(name, { ...this.#options, skipVersionCheck: true });
  }

  flow(): FlowProducer {
    return new FlowProducer({ ...this.#options, skipVersionCheck: true });
  }

  worker(name: string, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker {
    return new Worker(name, processor, { ...options, ...this.#options });
  }

  async inState(queues: readonly string[], states: readonly JobPlace['state'][]): Promise<readonly JobPlace[]> {
    const asked = queues.flatMap((queue) =>
      states.flatMap((state) => KEYS[state].map(({ key, sorted }) => ({ queue, state, key, sorted }))),
    );
    const pipeline = this.#redis.pipeline();
    for (const { queue, state, key, sorted } of asked) {
      const name = this.#key(queue, key);
      if (state === 'delayed') pipeline.zrange(name, '0', '-1', 'WITHSCORES');
      else if (sorted) pipeline.zrange(name, '0', '-1');
      else pipeline.lrange(name, 0, -1);
    }
    const lists = await replies<string[]>(pipeline);
    return asked.flatMap(({ queue, state }, index): readonly JobPlace[] => {
      const ids = lists[index]!;
      if (state !== 'delayed') return ids.map((id) => ({ queue, id, state }));
      const places: JobPlace[] = [];
      // BullMQ keeps the time in the upper bits of the score.
      for (let at = 0; at + 1 < ids.length; at += 2)
        places.push({ queue, id: ids[at]!, state, due: Math.floor(Number(ids[at + 1]) / 0x1000) });
      return places;
    });
  }

  async jobs(names: readonly JobName[]): Promise<readonly JobFields[]> {
    const chunks: (readonly JobName[])[] = [];
    for (let start = 0; start < names.length; start += CHUNK) chunks.push(names.slice(start, start + CHUNK));
    const read = await Promise.all(
      chunks.map(async (chunk) => {
        const pipeline = this.#redis.pipeline();
        for (const { queue, id } of chunk) pipeline.hmget(this.#key(queue, id), ...FIELDS);
        return replies<(string | null)[]>(pipeline);
      }),
    );
    return read.flat().map((values) => {
      const field = (name: (typeof FIELDS)[number]) => values[FIELDS.indexOf(name)] ?? null;
      return {
        ats: field('ats'),
        processedOn: field('processedOn'),
        finishedOn: field('finishedOn'),
        failedReason: field('failedReason'),
        returnvalue: field('returnvalue'),
        progress: field('progress'),
        pb: field('pb'),
        timestamp: field('timestamp'),
        exists: field('timestamp') !== null,
      };
    });
  }

  async logs(names: readonly JobName[]): Promise<readonly (readonly string[])[]> {
    const pipeline = this.#redis.pipeline();
    for (const { queue, id } of names) pipeline.lrange(this.#key(queue, `${id}:logs`), 0, -1);
    return replies<string[]>(pipeline);
  }

  async completedChildren({ queue, id }: JobName): Promise<readonly string[]> {
    const children = await this.#redis.hkeys(this.#key(queue, `${id}:processed`));
    return children.map((key) => key.slice(key.lastIndexOf(':') + 1));
  }

  async completedSince(queue: string, at: number): Promise<readonly { readonly id: string; readonly at: number }[]> {
    const listed = await this.#redis.zrangebyscore(this.#key(queue, 'completed'), at, '+inf', 'WITHSCORES');
    const found: { readonly id: string; readonly at: number }[] = [];
    for (let index = 0; index + 1 < listed.length; index += 2)
      found.push({ id: listed[index]!, at: Number(listed[index + 1]) });
    return found;
  }

  async listening(queue: Queue): Promise<readonly string[]> {
    const clients = await queue.getWorkers();
    return clients.map((client) => (client['rawname'] ?? client['name'] ?? '').split(':w:')[1] ?? '');
  }

  async readNotes(runs: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]> {
    const pipeline = this.#redis.pipeline();
    for (const run of runs) pipeline.hgetall(this.#notes(run));
    return replies<Record<string, string>>(pipeline);
  }

  async readNote(run: string, field: string): Promise<string | undefined> {
    return (await this.#redis.hget(this.#notes(run), field)) ?? undefined;
  }

  async writeNote(run: string, field: string, text: string): Promise<void> {
    await this.#redis.hset(this.#notes(run), field, text);
  }

  async addNote(run: string, field: string, text: string): Promise<boolean> {
    return (await this.#redis.hsetnx(this.#notes(run), field, text)) === 1;
  }

  async removeNotes(run: string, fields: readonly string[]): Promise<void> {
    await this.#redis.hdel(this.#notes(run), ...fields);
  }

  async oneAtATime<T>(patienceMs: number, body: () => Promise<T>): Promise<{ readonly result: T } | undefined> {
    const key = `${this.#options.prefix}:enqueue-lock`;
    const token = randomUUID();
    const deadline = Date.now() + patienceMs;
    while ((await this.#redis.set(key, token, 'PX', ALONE_MOST_MS, 'NX')) === null) {
      if (Date.now() > deadline) return undefined;
      await sleep(50);
    }
    try {
      return { result: await body() };
    } finally {
      const release = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0';
      await this.#redis.eval(release, 1, key, token);
    }
  }

  async answers(milliseconds: number): Promise<boolean> {
    if (this.#redis.status !== 'ready') return false;
    return inTime(this.#redis.ping(), milliseconds).then(
      () => true,
      () => false,
    );
  }

  warnings(): Promise<readonly QueueWarning[]> {
    return warningsOfRedis(this.#connection);
  }

  explain(error: unknown): PgconvoyError | undefined {
    return explainRedis(this.address, error);
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  /** As BullMQ names its keys. */
  #key(queue: string, type: string): string {
    return `${this.#options.prefix}:${queue}:${type}`;
  }

  #notes(run: string): string {
    return `${this.#options.prefix}:control:${run}`;
  }
}

async function replies<T>(pipeline: ChainableCommander): Promise<T[]> {
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value as T;
  });
}
