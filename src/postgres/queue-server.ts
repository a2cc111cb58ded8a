import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type * as z from 'zod';
import { clientConfig, refusesTls, unknownSetting } from './connection.ts';
import type { ServerAddress } from './connection.ts';
import { Held, QueueGreeting, queueGreeting, QueueVersion, queueVersion, tryToBeAlone } from './queue-tables.ts';
import type { Sql } from './sql.ts';
import { majorOf } from './versions.ts';

/** Where the queue is, when PostgreSQL keeps it. */
export interface QueueAddress extends ServerAddress {
  readonly database: string;
}

/** What the way to the server says: nobody there, not with this user, or not allowed to make the schema. */
export type Trouble = 'away' | 'refused' | 'forbidden';

/** A session as BullMQ takes it: a client that is given back by `release`. */
export type QueueClient = pg.Client & { release(): void };

/** The first major that BullMQ's tables need. */
export const QUEUE_SINCE = 13;
const OPEN_MOST_MS = 5_000;
/** What waits longer, for a session or an answer, is lost: a command asks once more, a worker until the server is back. */
const ANSWER_MOST_MS = { command: 10_000, worker: 60_000 } as const;
const TIMES_ASKED = { command: 2, worker: Number.POSITIVE_INFINITY } as const;
const SESSIONS = { command: 3, worker: 8 } as const;

/** The server that keeps the queue: a few sessions, whose search path is the schema of the queue. */
export class QueueServer {
  readonly schema: string;
  readonly #config: pg.ClientConfig;
  readonly #pool: pg.Pool;
  readonly #times: number;
  #closed = false;

  private constructor(config: pg.ClientConfig, schema: string, profile: 'command' | 'worker') {
    this.schema = schema;
    this.#config = config;
    this.#times = TIMES_ASKED[profile];
    this.#pool = new pg.Pool({
      ...config,
      max: SESSIONS[profile],
      connectionTimeoutMillis: ANSWER_MOST_MS.command,
      query_timeout: ANSWER_MOST_MS[profile],
    });
    // An idle session that breaks is replaced with the next question.
    this.#pool.on('error', () => {});
  }

  /**
   * Connects and asks the server what it is; one that is too old says only that.
   * @throws what pg throws
   */
  static async open(
    address: QueueAddress,
    schema: string,
    profile: 'command' | 'worker',
  ): Promise<{ readonly server: QueueServer; readonly greeting: QueueGreeting } | { readonly tooOld: string }> {
    const timely = { ...address, connectTimeoutMs: Math.min(address.connectTimeoutMs, OPEN_MOST_MS) };
    const config = clientConfig(timely, address.database, 'pgconvoy/queue', new Set(), {
      // As the schema is made from a word of letters, digits, _ and -, nothing in it needs a quote inside.
      search_path: `"${schema}"`,
    });
    const { config: usable, client } = await dial(config, address.sslmode === 'prefer');
    if (typeof client === 'string') return { tooOld: client };
    try {
      const ask = async <S extends z.ZodType>(row: S, statement: Sql): Promise<z.output<S>> => {
        const { text, values } = statement.at(QUEUE_SINCE);
        return row.parse((await client.query<Record<string, unknown>>(text, [...values])).rows[0]);
      };
      const { versionNum, version } = await ask(QueueVersion, queueVersion());
      if (majorOf(versionNum) < QUEUE_SINCE) return { tooOld: version };
      const greeting = await ask(QueueGreeting, queueGreeting(schema));
      return { server: new QueueServer(usable, schema, profile), greeting };
    } finally {
      void client.end().catch(() => {});
    }
  }

  /** All rows, each parsed by the schema. */
  async many<S extends z.ZodType>(row: S, statement: Sql): Promise<z.output<S>[]> {
    const { text, values } = statement.at(QUEUE_SINCE);
    return (await this.ask(text, values)).rows.map((one) => row.parse(one));
  }

  /** How many rows a statement has changed. */
  async run(statement: Sql): Promise<number> {
    const { text, values } = statement.at(QUEUE_SINCE);
    return (await this.ask(text, values)).rowCount ?? 0;
  }

  /** Asks once, whoever asks. */
  async greet(): Promise<void> {
    await this.#pool.query('select');
  }

  /** WARNING: takes text, which only BullMQ has written. */
  async ask(text: string, values: readonly unknown[] = []): Promise<pg.QueryResult<Record<string, unknown>>> {
    for (let asked = 1; ; asked += 1) {
      try {
        return await this.#pool.query<Record<string, unknown>>(text, [...values]);
      } catch (error) {
        if (asked >= this.#times || this.#closed || troubleOf(error) !== 'away') throw error;
        await sleep(Math.min(100 * 2 ** asked, 2_000));
        if (this.#closed) throw error;
      }
    }
  }

  /** A session of its own, for LISTEN and for migrations. */
  async session(): Promise<QueueClient> {
    const client = new pg.Client(this.#config);
    client.on('error', () => {});
    await client.connect();
    return Object.assign(client, {
      release: () => {
        // Whoever gives it back has taken all listeners away.
        client.on('error', () => {});
        void client.end().catch(() => {});
      },
    });
  }

  /**
   * Runs `body` while no other session of this queue is in here: a lock of a session, which nobody leaves behind.
   * @returns undefined when another one stayed in for `patienceMs`
   * @see https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
   */
  async oneAtATime<T>(patienceMs: number, body: () => Promise<T>): Promise<{ readonly result: T } | undefined> {
    const { text, values } = tryToBeAlone(this.schema);
    const deadline = Date.now() + patienceMs;
    const client = await this.session();
    try {
      for (;;) {
        const { rows } = await client.query<Record<string, unknown>>(text, [...values]);
        if (Held.parse(rows[0]).held) return { result: await body() };
        if (Date.now() > deadline) return undefined;
        await sleep(50);
      }
    } finally {
      client.release();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // A session whose server does not answer is not waited for.
    await Promise.race([this.#pool.end().catch(() => {}), sleep(1_000, undefined, { ref: false })]);
  }
}

/** Connects; the version of a server that is too old for what our sessions start with. */
async function dial(
  config: pg.ClientConfig,
  mayBePlain: boolean,
): Promise<{ readonly config: pg.ClientConfig; readonly client: pg.Client | string }> {
  const client = new pg.Client(config);
  client.on('error', () => {});
  let version = '';
  client.connection.on('parameterStatus', ({ parameterName, parameterValue }: Record<string, string>) => {
    if (parameterName === 'server_version') version = parameterValue ?? '';
  });
  try {
    await client.connect();
    return { config, client };
  } catch (error) {
    void client.end().catch(() => {});
    if (mayBePlain && config.ssl !== false && refusesTls(error)) return dial({ ...config, ssl: false }, false);
    if (unknownSetting(error) !== undefined) return { config, client: version === '' ? 'very old' : version };
    throw error;
  }
}

/** What went wrong on the way to the server; undefined when it is about what was asked of it. */
export function troubleOf(error: unknown): Trouble | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = String((error as { code?: unknown }).code ?? '');
  if (/^(28|3D000)/.test(code) || /client password must be/.test(error.message)) return 'refused';
  if (code === '42501') return 'forbidden';
  const away =
    /^(08|53300|57P0|ECONN|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|ENOENT|EACCES|ERR_SSL|ERR_TLS|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO)/;
  const said =
    /Connection terminated|connection timeout|timeout exceeded|Query read timeout|no answer within|not queryable|does not support SSL|certificate/;
  return away.test(code) || said.test(error.message) ? 'away' : undefined;
}
