import {
  LATEST_SCHEMA_VERSION,
  PostgresConnection,
  PostgresQueueBackend,
  assertSchemaCompatibility,
  runMigrations,
  withBackend,
} from 'bullmq';
import type { FlowProducer, Processor, QueueBaseOptions, Queue, Worker, WorkerOptions } from 'bullmq';
import { ConfigError, PgconvoyError, UnreachableError, withoutSecrets } from '../errors.ts';
import { QUEUE_SINCE, QueueServer, troubleOf } from '../postgres/queue-server.ts';
import type { QueueAddress } from '../postgres/queue-server.ts';
import * as tables from '../postgres/queue-tables.ts';
import type { QueueGreeting } from '../postgres/queue-tables.ts';
import { inTime } from './store.ts';
import type { Identify, JobFields, JobName, JobPlace, Profile, QueueWarning, Store } from './store.ts';

/** application_name holds 63 bytes. */
const NAME_MOST = 63;
const BULLMQ = { skipVersionCheck: true };

/**
 * Connects, and makes BullMQ's tables where they are missing or older. Nothing is touched on a server that is to be upgraded.
 * @param address with `shown` for messages
 * @throws ConfigError when it cannot be the queue's; UnreachableError when it is away or refuses us
 */
export async function openPostgres(
  address: QueueAddress & { readonly shown: string },
  prefix: string,
  profile: Profile,
  identify?: Identify,
): Promise<PostgresStore> {
  const { shown } = address;
  const schema = schemaOf(prefix);
  try {
    const met = await QueueServer.open(address, schema, profile);
    if ('tooOld' in met) {
      throw new ConfigError(
        `The queue at ${shown} is PostgreSQL ${met.tooOld}; ${QUEUE_SINCE} or later is needed to keep jobs.`,
        { hint: 'Name a newer server by queue.url, or a Redis server (redis://HOST:PORT).' },
      );
    }
    const { server, greeting } = met;
    try {
      if (greeting.inRecovery) {
        throw new ConfigError(`The queue at ${shown} is a standby: nothing can be written there.`, {
          hint: 'Name its primary by queue.url.',
        });
      }
      await refuseUpgraded(shown, greeting, identify);
      await makeTables(server, greeting.made);
      return new PostgresStore(server, shown, greeting);
    } catch (error) {
      await server.close();
      throw error;
    }
  } catch (error) {
    throw explain(shown, error) ?? error;
  }
}

/** The schema is for the prefix what the prefix is for keys of Redis. */
function schemaOf(prefix: string): string {
  const schema = `${/^\d/.test(prefix) ? '_' : ''}${prefix.replaceAll('-', '_')}_queue`;
  if (schema.length <= NAME_MOST) return schema;
  throw new ConfigError(`queue.prefix is too long for the name of a schema: ${schema}.`, {
    hint: 'Choose one of at most 50 letters.',
  });
}

/** A queue must outlive what happens to both clusters, and theirs are not the connections to take. */
async function refuseUpgraded(shown: string, greeting: QueueGreeting, identify: Identify | undefined): Promise<void> {
  for (const { side, systemIdentifier, away } of (await identify?.(greeting.made)) ?? []) {
    if (systemIdentifier === greeting.systemIdentifier) {
      throw new ConfigError(
        `The queue at ${shown} is on the ${side} of the upgrade itself (both have the system identifier ${systemIdentifier}).`,
        {
          hint: 'Name a PostgreSQL server that is not being upgraded by queue.url, or a Redis server. Nothing was touched.',
        },
      );
    }
    // Once they are made, the tables are where they may be.
    if (away && !greeting.made) throw away;
  }
}

async function makeTables(server: QueueServer, made: boolean): Promise<void> {
  const session = await server.session();
  try {
    const version = made ? await assertSchemaCompatibility(session, server.schema, BULLMQ) : 0;
    if (version < LATEST_SCHEMA_VERSION) await runMigrations(session, server.schema, BULLMQ);
  } finally {
    session.release();
  }
}

function explain(shown: string, error: unknown): PgconvoyError | undefined {
  if (error instanceof PgconvoyError) return undefined;
  const trouble = troubleOf(error);
  if (trouble === undefined) return undefined;
  const cause = reasonOf(error);
  if (trouble === 'refused') {
    return new UnreachableError(`The queue at ${shown} refused us: ${cause}`, {
      hint: 'Correct user, password and database in queue.url, or the file that queue.passwordFile names; see pg_hba.conf of that server.',
      disposition: 'give-up',
    });
  }
  if (trouble === 'forbidden') {
    return new UnreachableError(`The queue at ${shown} does not let us keep jobs: ${cause}`, {
      hint: 'Give its user the right to make a schema there: GRANT CREATE ON DATABASE … TO …, or take a user that owns the tables.',
      disposition: 'give-up',
    });
  }
  return new UnreachableError(`The queue at ${shown} cannot be reached: ${cause}`, {
    hint: 'Start the PostgreSQL server there, or correct queue.url in the configuration (or --queue). Runs are not lost: they go on when it is back.',
  });
}

function reasonOf(error: unknown): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error)) return withoutSecrets(String(first));
  if (/client password must be/.test(first.message)) return 'it asks for a password, and there is none';
  return withoutSecrets(first.message || first.name);
}

/** What BullMQ calls a connection: our sessions, whose tables are there already. */
class Connection extends PostgresConnection {
  override async waitUntilReady(): Promise<void> {}
}

/** PostgreSQL, by BullMQ's own backend. Notes are rows of BullMQ's table `meta`. */
class PostgresStore implements Store {
  readonly address: string;
  readonly #server: QueueServer;
  readonly #greeting: QueueGreeting;
  readonly #bullmq: ReturnType<typeof withBackend<PostgresQueueBackend, QueueServer>>;

  constructor(server: QueueServer, address: string, greeting: QueueGreeting) {
    this.#server = server;
    this.address = address;
    this.#greeting = greeting;
    this.#bullmq = withBackend<PostgresQueueBackend, QueueServer>((name, options, { withBlockingConnection } = {}) =>
      backend(server, name, options, withBlockingConnection === true),
    );
  }

  queue(name: string): Queue {
    return new this.#bullmq.Queue(name, { connection: this.#server, ...BULLMQ }) as unknown as Queue;
  }

  flow(): FlowProducer {
    return new this.#bullmq.FlowProducer({ connection: this.#server, ...BULLMQ }) as unknown as FlowProducer;
  }

  worker(name: string, processor: Processor, options: Omit<WorkerOptions, 'connection' | 'prefix'>): Worker {
    return new this.#bullmq.Worker(name, processor, { ...options, connection: this.#server }) as unknown as Worker;
  }

  async inState(queues: readonly string[], states: readonly JobPlace['state'][]): Promise<readonly JobPlace[]> {
    const rows = await this.#server.many(tables.JobRow, tables.jobsInState(queues, states));
    return rows.map(({ queue, id, state, due }) => ({
      queue,
      id,
      state,
      ...(state === 'delayed' && due !== null ? { due } : {}),
    }));
  }

  async jobs(names: readonly JobName[]): Promise<readonly JobFields[]> {
    if (names.length === 0) return [];
    const { queues, ids } = columnsOf(names);
    return this.#server.many(tables.JobFieldsRow, tables.jobFields(queues, ids));
  }

  async logs(names: readonly JobName[]): Promise<readonly (readonly string[])[]> {
    const { queues, ids } = columnsOf(names);
    return (await this.#server.many(tables.LogRow, tables.jobLogs(queues, ids))).map(({ lines }) => lines);
  }

  async completedChildren({ queue, id }: JobName): Promise<readonly string[]> {
    return (await this.#server.many(tables.ChildRow, tables.completedChildren(queue, id))).map((child) => child.id);
  }

  completedSince(queue: string, at: number): Promise<readonly { readonly id: string; readonly at: number }[]> {
    return this.#server.many(tables.CompletedRow, tables.completedSince(queue, at));
  }

  async listening({ name }: Queue): Promise<readonly string[]> {
    const prefix = listenerName(this.#server.schema, name, '');
    const sessions = await this.#server.many(tables.SessionName, tables.sessionsNamed(prefix));
    return sessions.map((session) => session.name.slice(prefix.length));
  }

  async readNotes(runs: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]> {
    const found = new Map(runs.map((run) => [run, {} as Record<string, string>]));
    for (const { run, field, text } of await this.#server.many(tables.NoteRow, tables.notes(runs)))
      found.get(run)![field] = text;
    return runs.map((run) => found.get(run)!);
  }

  async readNote(run: string, field: string): Promise<string | undefined> {
    const [notes] = await this.readNotes([run]);
    return notes?.[field];
  }

  async writeNote(run: string, field: string, text: string): Promise<void> {
    await this.#server.run(tables.writeNote(run, field, text));
  }

  async addNote(run: string, field: string, text: string): Promise<boolean> {
    return (await this.#server.run(tables.addNote(run, field, text))) === 1;
  }

  async removeNotes(run: string, fields: readonly string[]): Promise<void> {
    await this.#server.run(tables.removeNotes(run, fields));
  }

  oneAtATime<T>(patienceMs: number, body: () => Promise<T>): Promise<{ readonly result: T } | undefined> {
    return this.#server.oneAtATime(patienceMs, body);
  }

  async answers(milliseconds: number): Promise<boolean> {
    return inTime(this.#server.greet(), milliseconds).then(
      () => true,
      () => false,
    );
  }

  async warnings(): Promise<readonly QueueWarning[]> {
    if (this.#greeting.fsync) return [];
    return [
      {
        message: `The queue at ${this.address} has fsync off: after a crash of its machine the run may be gone.`,
        remedy: 'ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf(); (no restart needed).',
      },
    ];
  }

  explain(error: unknown): PgconvoyError | undefined {
    return explain(this.address, error);
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}
export type { PostgresStore };

const columnsOf = (names: readonly JobName[]) => ({
  queues: names.map(({ queue }) => queue),
  ids: names.map(({ id }) => id),
});

/** How a listening session is found; of a long name its end says more than its beginning. */
function listenerName(schema: string, queue: string, worker: string): string {
  const prefix = `${schema}:${queue}:w:`;
  return worker === '' ? prefix : `${prefix}${worker.slice(-Math.max(NAME_MOST - prefix.length, 1))}`;
}

function backend(
  server: QueueServer,
  name: string,
  options: QueueBaseOptions<QueueServer>,
  listens: boolean,
): PostgresQueueBackend {
  const pool = {
    // A broken LISTEN is noticed by it, so that a worker need not look each ten seconds.
    options: { keepAlive: true },
    query: async (text: string, values?: readonly unknown[]) => {
      const { rows, rowCount } = await server.ask(text, values);
      return { rows: rows as any[], rowCount };
    },
    connect: () => server.session(),
    end: async () => {},
    on: () => pool,
    removeAllListeners: () => pool,
  };
  const connection = new Connection(pool as never);
  const worker = (options as { readonly name?: string }).name ?? '';
  return new PostgresQueueBackend(
    connection,
    name,
    { ...options, connection: pool } as never,
    true,
    listens ? listenerName(server.schema, name, worker) : undefined,
  );
}
