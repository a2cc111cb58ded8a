import type pg from 'pg';
import * as z from 'zod';
import { PgconvoyError } from '../errors.ts';
import { toPgconvoyError } from './errors.ts';
import { ReplicationSession } from './replication-session.ts';
import { fragment, id, lit, since, sql, Sql, trustedStatement } from './sql.ts';
import type { Cluster, Side } from './cluster.ts';

export interface StatementOptions {
  /** Give up when a lock is not had within this time. Set on every DDL against a server in production. */
  readonly lockTimeoutMs?: number;
  readonly statementTimeoutMs?: number;
}

const HeldSnapshot = z.object({ name: z.string(), pid: z.number(), since: z.string() });
/** A snapshot by its name, and the session that holds it. */
export type HeldSnapshot = z.output<typeof HeldSnapshot>;

const holdingTransaction = sql`
  begin isolation level repeatable read, read only;
  ${since('transactionTimeout', fragment`set local transaction_timeout = 0`, fragment``)}`;
const heldSnapshot = sql`
  select pg_export_snapshot() as name, pg_backend_pid() as pid,
         (select backend_start::text from pg_stat_activity where pid = pg_backend_pid()) as since`;

/** By session: answers that do not change as long as it lasts, by the text of the question. */
const lasting = new WeakMap<pg.Client, Map<string, unknown>>();

/** Statements by name, each with the schema of its rows. */
export type Questions = Readonly<Record<string, { readonly row: z.ZodType; readonly query: Sql }>>;
export type Answers<Q extends Questions> = { readonly [K in keyof Q]: readonly z.output<Q[K]['row']>[] };

export interface Binding {
  readonly applicationName: string;
  readonly signal: AbortSignal;
}

/**
 * One database of one cluster, bound to one job: a single session, opened at the first statement. Statements run one after
 * the other. Aborting the job's signal cancels the statement on the server, then ends the session.
 */
export class Database {
  readonly cluster: Cluster;
  readonly name: string;
  readonly #binding: Binding;
  #client: Promise<pg.Client> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #inTransaction = false;
  /** A transaction whose BEGIN goes with its first statement. */
  #begins = false;
  /** The session may not be handed on to another job: it was cancelled, broke, or holds session state. */
  #spoiled = false;

  constructor(cluster: Cluster, name: string, binding: Binding) {
    this.cluster = cluster;
    this.name = name;
    this.#binding = binding;
  }

  get side(): Side {
    return this.cluster.side;
  }

  /** All rows, each parsed by the schema: bigint-as-text and nulls are caught here, at the edge. */
  async many<S extends z.ZodType>(schema: S, statement: Sql, options: StatementOptions = {}): Promise<z.output<S>[]> {
    const result = await this.#query(statement, options);
    return result.rows.map((row) => schema.parse(row));
  }

  /** The one row that must be there. */
  async one<S extends z.ZodType>(schema: S, statement: Sql): Promise<z.output<S>> {
    const row = await this.maybe(schema, statement);
    if (row === undefined) {
      throw new PgconvoyError(`${this.side}, database "${this.name}": a row was expected and none came`, {
        hint: 'The object has probably just been dropped by somebody else; run the step again.',
        disposition: 'retry',
      });
    }
    return row;
  }

  /** The first row, or undefined where there is none. */
  async maybe<S extends z.ZodType>(schema: S, statement: Sql): Promise<z.output<S> | undefined> {
    const [row] = await this.many(schema, statement);
    return row;
  }

  /**
   * The one row of a question about the server itself, whose answer lasts as long as the session: asked once of each session, whichever
   * job has it.
   */
  async lasting<S extends z.ZodType>(schema: S, question: Sql): Promise<z.output<S>> {
    const row = await this.exclusively(async (client) => {
      const { text, values } = question.at(this.cluster.majorOf(client));
      const answers = lasting.get(client) ?? new Map<string, unknown>();
      lasting.set(client, answers);
      if (!answers.has(text))
        answers.set(text, (await client.query<Record<string, unknown>>(text, [...values])).rows[0]);
      return answers.get(text);
    });
    return schema.parse(row);
  }

  /**
   * Several questions in one round trip: the rows of each, by its name. One that is refused has all refused.
   * @see https://www.postgresql.org/docs/current/functions-aggregate.html
   */
  async together<Q extends Questions>(questions: Q): Promise<Answers<Q>> {
    const asked = Object.entries(questions);
    const columns = asked.map(([, { query }]) => sql`(select coalesce(json_agg(q), '[]') from (${query}) q)`);
    const all = columns.reduce((before, column) => sql`${before}, ${column}`);
    const answer = await this.#query(sql`select json_build_array(${all}) as rows`);
    const lists = answer.rows[0]?.['rows'] as readonly unknown[];
    const parsed: Record<string, unknown> = {};
    for (const [index, [name, { row }]] of asked.entries()) parsed[name] = z.array(row).parse(lists[index]);
    return parsed as Answers<Q>;
  }

  /**
   * Several statements in one message: one round trip and, where none is open, one transaction of their own. They run one after the
   * other. Their values go in as literals. The rows of each, in the same order.
   * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
   */
  async atOnce(statements: readonly Sql[]): Promise<readonly (readonly unknown[])[]> {
    const message = new Sql((major) => ({
      text: statements.map((statement) => statement.inlineAt(major)).join(';\n'),
      values: [],
    }));
    // What pg returns for more than one statement, its types do not know.
    const result: unknown = await this.#query(message);
    const results = (Array.isArray(result) ? result : [result]) as readonly pg.QueryResult[];
    return results.map(({ rows }) => rows);
  }

  /** Runs one statement and returns how many rows it changed. */
  async run(statement: Sql, options: StatementOptions = {}): Promise<number> {
    const result = await this.#query(statement, options);
    return result.rowCount ?? 0;
  }

  /**
   * WARNING: takes text. Several statements in one message, one implicit transaction: only for what PostgreSQL wrote itself
   * (pg_dump output).
   * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
   */
  async script(text: string): Promise<void> {
    await this.#query(trustedStatement(text));
  }

  /** Everything inside commits together or not at all. */
  async transaction<T>(body: () => Promise<T>): Promise<T> {
    // Behind whatever was asked before it.
    await this.#queue;
    this.#inTransaction = true;
    this.#begins = true;
    try {
      const result = await body();
      if (!this.#begins) await this.#query(sql`commit`);
      return result;
    } catch (error) {
      // The error that led here is the one to report, whatever the rollback says.
      if (this.#client && !this.#begins) await this.#query(sql`rollback`).catch(() => this.#abandon());
      throw error;
    } finally {
      this.#inTransaction = false;
      this.#begins = false;
    }
  }

  /** Another session to the same database, for work side by side (index builds). Close it when done. */
  fork(): Database {
    return new Database(this.cluster, this.name, this.#binding);
  }

  /**
   * Hands out the pg client, for what is more than a statement (COPY streams): nothing else runs in the session until `body` is
   * through, and when it fails the session ends, whatever state it is in. Aborting cancels what runs on the server.
   */
  async exclusively<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
    const next = this.#queue.then(async () => {
      this.#binding.signal.throwIfAborted();
      const client = await this.#connected();
      const cancel = () => void this.cluster.cancel(client);
      this.#binding.signal.addEventListener('abort', cancel, { once: true });
      try {
        if (this.#begins) await client.query('begin');
        this.#begins = false;
        return await body(client);
      } catch (error) {
        this.#abandon();
        this.#binding.signal.throwIfAborted();
        throw toPgconvoyError(error, { server: this.side, database: this.name });
      } finally {
        this.#binding.signal.removeEventListener('abort', cancel);
      }
    });
    this.#queue = next.catch(() => {});
    return next;
  }

  /** A session of the replication protocol to this database, not connected yet. Close it when done. */
  replicationSession(): ReplicationSession {
    return new ReplicationSession(this.cluster, this.name, this.#binding);
  }

  /** Gives the session back for the next job on this database, or ends it. */
  async close(): Promise<void> {
    const opening = this.#client;
    this.#client = undefined;
    if (!opening) return;
    const client = await opening.catch(() => undefined);
    if (!client) return;
    if (this.#spoiled || this.#inTransaction || this.#binding.signal.aborted) await client.end().catch(() => {});
    else this.cluster.keep(this.name, client);
  }

  /**
   * What all tables hold now stays readable (SET TRANSACTION SNAPSHOT), also for other processes: in a session that outlives the job, as long
   * as this process lives, at most `mostMs`, or until somebody ends it.
   * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
   */
  async holdSnapshot(mostMs: number): Promise<HeldSnapshot> {
    this.#binding.signal.throwIfAborted();
    const client = await this.cluster.connect(this.name, this.#binding.applicationName);
    try {
      await client.query(holdingTransaction.at(this.cluster.majorOf(client)).text);
      const { rows } = await client.query<Record<string, unknown>>(heldSnapshot.text);
      const held = HeldSnapshot.parse(rows[0]);
      this.cluster.hold(client, mostMs);
      return held;
    } catch (error) {
      void client.end().catch(() => {});
      throw toPgconvoyError(error, { server: this.side, database: this.name });
    }
  }

  /**
   * Ends this session and those kept for the database; the next statement opens another one. For what a session remembers beyond the
   * life of its object, as some extensions do.
   */
  async renew(): Promise<void> {
    this.#abandon();
    await this.cluster.forget(this.name);
  }

  /** Leaves a session that cannot be used any more; the next statement opens another one. */
  #abandon(): void {
    const opening = this.#client;
    this.#client = undefined;
    void opening?.then((client) => client.end()).catch(() => {});
  }

  async #connected(): Promise<pg.Client> {
    this.#client ??= this.cluster.connect(this.name, this.#binding.applicationName);
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  #query(statement: Sql, options: StatementOptions = {}): Promise<pg.QueryResult<Record<string, unknown>>> {
    if (!Sql.is(statement)) throw new TypeError('statements are made by the sql tag');
    // pg would queue too, but a cancel must hit the statement that belongs to it.
    const next = this.#queue.then(() => this.#execute(statement, options));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #execute(statement: Sql, options: StatementOptions): Promise<pg.QueryResult<Record<string, unknown>>> {
    this.#binding.signal.throwIfAborted();
    const client = await this.#connected();
    const cancel = () => {
      this.#spoiled = true;
      void this.cluster.cancel(client);
    };
    this.#binding.signal.addEventListener('abort', cancel, { once: true });
    try {
      const rendered = statement.at(this.cluster.majorOf(client));
      const settings = timeoutSettings(options);
      const before = settings.map(([n, v]) => sql`set ${id(n)} = ${lit(v)}`.text);
      const after = settings.map(([n]) => sql`set ${id(n)} = 0`.text);
      if (this.#begins) before.unshift('begin');
      this.#begins = false;
      // A statement's timeout begins with its message.
      if (before.length > 0 && options.statementTimeoutMs === undefined && mayGoTogether(rendered, this.#inTransaction))
        return await inOneMessage(client, before, rendered.text, after);
      if (before.length > 0) await client.query(before.join('; '));
      try {
        const { text, values, name } = rendered;
        return await client.query<Record<string, unknown>>({
          text,
          ...(values.length > 0 ? { values: [...values] } : {}),
          ...(name === undefined ? {} : { name }),
        });
      } finally {
        if (after.length > 0) {
          await client.query(after.join('; ')).catch(() => {
            // In an aborted transaction SET fails; the rollback that follows takes the setting back too.
            this.#spoiled = true;
          });
        }
      }
    } catch (error) {
      this.#binding.signal.throwIfAborted();
      const wrapped = toPgconvoyError(error, { server: this.side, database: this.name });
      if (wrapped.name === 'UnreachableError' || /^(08|57P)/.test((wrapped as { sqlstate?: string }).sqlstate ?? '')) {
        // A broken session never recovers: the next statement opens a new one.
        this.#spoiled = true;
        if (!this.#inTransaction) this.#client = undefined;
        void client.end().catch(() => {});
      }
      throw wrapped;
    } finally {
      this.#binding.signal.removeEventListener('abort', cancel);
    }
  }
}

/** Several statements of one message take no parameters, and are a transaction, in which not every command may run. */
const mayGoTogether = ({ text, values, name }: ReturnType<Sql['at']>, inTransaction: boolean): boolean =>
  values.length === 0 && name === undefined && (inTransaction || /^\s*(?:select|with)\b/i.test(text));

/** A statement with what is said before and after it, in one round trip. Where it fails, SET is taken back with it. */
async function inOneMessage(
  client: pg.Client,
  before: readonly string[],
  text: string,
  after: readonly string[],
): Promise<pg.QueryResult<Record<string, unknown>>> {
  // What pg returns for more than one statement, its types do not know.
  const results = (await client.query([...before, text, ...after].join(';\n'))) as unknown as pg.QueryResult[];
  const own = results.slice(before.length, results.length - after.length);
  return (own.length === 1 ? own[0] : own) as pg.QueryResult<Record<string, unknown>>;
}

function timeoutSettings(options: StatementOptions): readonly (readonly [string, string])[] {
  const settings: (readonly [string, string])[] = [];
  if (options.lockTimeoutMs !== undefined) settings.push(['lock_timeout', String(options.lockTimeoutMs)]);
  if (options.statementTimeoutMs !== undefined)
    settings.push(['statement_timeout', String(options.statementTimeoutMs)]);
  return settings;
}
