/** One application: writes into one database over one connection, and follows it from the source to the target. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Change, JournalRecord, WriterSide } from './journal.ts';
import { quoted } from './session.ts';
import type { ChangeKind, WorkloadDatabase, WrittenTable } from './workload.ts';

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

export interface WriterOptions {
  readonly database: WorkloadDatabase;
  readonly source: Endpoint;
  readonly target: Endpoint;
  /** Pause after each write, milliseconds. */
  readonly pauseMs: number;
  /** Pause between two attempts to connect once the source refuses, milliseconds. */
  readonly pollMs: number;
  readonly record: (record: JournalRecord) => void;
}

/** Ends of a session, SQLSTATEs and Node's own codes: shut down, terminated, made read-only, gone. */
const ENDS = new Set(['25006', '57P01', '57P02', '57P03', '08P01', '08006', 'ECONNRESET', 'ECONNREFUSED', 'EPIPE']);
/** Being kept out: no such role or database, no privilege, too many connections, no connections allowed. */
const REFUSALS = new Set([...ENDS, '28000', '28P01', '3D000', '42501', '53300', '55000']);
/** pg's own words for a connection that ended; such errors have no code. */
const ENDED = /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout expired)/;

/** How often the side is asked again that has sent us away, so that an application comes back when its fence is taken down. */
const HERE_EVERY = 5;

export class Writer {
  readonly #options: WriterOptions;
  readonly #rows: TableRows[];
  #side: WriterSide = 'source';
  #client: pg.Client | undefined;
  #lost = false;
  #count = 0;
  #stopped = false;
  #moved = false;
  #wroteOn: WriterSide = 'source';
  /** Acknowledged writes so far. */
  writes = 0;
  /** Errors that no fence explains. */
  errors = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#rows = options.database.written.map((table) => new TableRows(table));
  }

  /** Something has been written on the target. */
  get moved(): boolean {
    return this.#moved;
  }

  /** Where the last write was acknowledged. */
  get wroteOn(): WriterSide {
    return this.#wroteOn;
  }

  /** Writes until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#client && !this.#lost) await this.#step();
      else await this.#connectAgain();
    }
    if (this.#client) leave(this.#client);
  }

  /** The write that is under way is finished first. */
  stop(): void {
    this.#stopped = true;
  }

  async #step(): Promise<void> {
    this.#count += 1;
    const sequences = this.#options.database.sequences ?? [];
    if (sequences.length > 0 && this.#count % 4 === 0) await this.#takeValue(this.#count % sequences.length);
    else await this.#write();
    if (!this.#lost) await sleep(this.#options.pauseMs);
  }

  async #write(): Promise<void> {
    const changes = this.#changes();
    const startedAt = this.#now();
    let committing = false;
    try {
      if (changes.length > 1) await this.#client!.query('begin');
      for (const change of changes) {
        committing = changes.length === 1;
        await this.#apply(change);
      }
      committing = true;
      if (changes.length > 1) await this.#client!.query('commit');
    } catch (error) {
      const refused = this.#noteError(error);
      // A session that ended while it committed: nobody knows. An error that was answered: it is rolled back.
      const unknown = committing && this.#lost;
      if (unknown) this.#noteWrite('unknown', startedAt, changes);
      for (const change of changes) this.#rows[change.table]!.settle(change, unknown ? 'unknown' : 'undone');
      if (!this.#lost) await this.#rollBack(refused);
      return;
    }
    this.#noteWrite('acknowledged', startedAt, changes);
    this.writes += 1;
    this.#moved ||= this.#side === 'target';
    this.#wroteOn = this.#side;
    for (const change of changes) this.#rows[change.table]!.settle(change, 'done');
  }

  async #apply(change: Change): Promise<void> {
    const table = this.#options.database.written[change.table]!;
    const { rowCount } = await this.#client!.query(statementFor(table, change.kind), valuesFor(change));
    if (rowCount !== 1) {
      throw new Error(
        `${change.kind} of ${change.token} in ${table.schema}.${table.name} changed ${rowCount} rows instead of 1`,
      );
    }
  }

  async #takeValue(sequence: number): Promise<void> {
    const { schema, name } = this.#options.database.sequences![sequence]!;
    try {
      const { rows } = await this.#client!.query('select nextval($1::regclass)::text as value', [quoted(schema, name)]);
      const { value } = rows[0] as { value: string };
      this.#options.record({
        type: 'value',
        database: this.#options.database.name,
        side: this.#side,
        at: this.#now(),
        sequence,
        value,
      });
    } catch (error) {
      this.#noteError(error);
    }
  }

  /** One to three rows, one transaction. */
  #changes(): Change[] {
    const amount = Math.random() < 0.15 ? 3 : 1;
    return Array.from({ length: amount }, () => {
      const table = Math.floor(Math.random() * this.#rows.length);
      return { table, ...this.#rows[table]!.next() };
    });
  }

  async #rollBack(refused: boolean): Promise<void> {
    // Where the fence is that transactions are read-only, the session lives on but is of no use.
    if (refused) {
      this.#lost = true;
      leave(this.#client!);
    } else await this.#client!.query('rollback').catch(() => {});
    await sleep(this.#options.pollMs);
  }

  /** Whoever lets us in first. */
  async #connectAgain(): Promise<void> {
    const [here, there]: readonly WriterSide[] = this.#side === 'target' ? ['target', 'source'] : ['source', 'target'];
    for (let attempt = 0; !this.#stopped; attempt += 1) {
      if (await this.#connect((attempt % HERE_EVERY === 0 ? here : there)!)) return;
      await sleep(this.#options.pollMs);
    }
  }

  async #connect(side: WriterSide): Promise<boolean> {
    const client = new pg.Client({
      ...this.#options[side],
      database: this.#options.database.name,
      application_name: 'harbour',
    });
    client.on('error', () => {
      if (this.#client === client) this.#lost = true;
    });
    try {
      await client.connect();
    } catch (error) {
      leave(client);
      if (!isOneOf(REFUSALS, error)) this.#noteError(error);
      return false;
    }
    this.#side = side;
    this.#client = client;
    this.#lost = false;
    return true;
  }

  #noteWrite(outcome: 'acknowledged' | 'unknown', startedAt: number, changes: readonly Change[]): void {
    this.#options.record({
      type: 'write',
      database: this.#options.database.name,
      side: this.#side,
      outcome,
      startedAt,
      at: this.#now(),
      changes,
    });
  }

  /** Says whether the server refused us or ended the session. */
  #noteError(error: unknown): boolean {
    const refused = isOneOf(ENDS, error);
    if (!refused) this.errors += 1;
    // FATAL errors come with the end of the session, sometimes a moment before pg notices it.
    const { code, message, severity } = error as { code?: string; message: string; severity?: string };
    if (severity === 'FATAL' || (refused && severity === undefined)) this.#lost = true;
    this.#options.record({
      type: 'error',
      database: this.#options.database.name,
      side: this.#side,
      at: this.#now(),
      code: code ?? '',
      message,
      refused,
    });
    return refused;
  }

  #now(): number {
    return performance.timeOrigin + performance.now();
  }
}

/** Not waited for: pg never says that a session has ended which the server has ended already. */
function leave(client: pg.Client): void {
  void client.end().catch(() => {});
}

function isOneOf(codes: ReadonlySet<string>, error: unknown): boolean {
  const { code, message } = error as { code?: string; message: string };
  return code === undefined ? ENDED.test(message) : codes.has(code);
}

function statementFor(table: WrittenTable, kind: ChangeKind): string {
  const name = quoted(table.schema, table.name);
  const token = quoted(table.token);
  const version = quoted(table.version);
  if (kind === 'insert') {
    const also = Object.entries(table.insertAlso ?? {});
    const columns = [token, version, ...also.map(([column]) => quoted(column))];
    return `insert into ${name} (${columns.join(', ')}) values (${['$1', '$2', ...also.map(([, value]) => value)].join(', ')})`;
  }
  if (kind === 'delete') return `delete from ${name} where ${token} = $1`;
  const also = Object.entries(table.updateAlso ?? {}).map(([column, value]) => `, ${quoted(column)} = ${value}`);
  return `update ${name} set ${version} = $2${also.join('')} where ${token} = $1`;
}

function valuesFor(change: Change): unknown[] {
  return change.kind === 'delete' ? [change.token] : [change.token, change.version];
}

/** What a writer knows of one table's rows: it never looks, it remembers. */
class TableRows {
  readonly #kinds: readonly ChangeKind[];
  readonly #seeds: number;
  /** Versions of rows that were touched and are there. */
  readonly #versions = new Map<string, number>();
  /** Seeds that are gone, and rows of which nobody knows. */
  readonly #taboo = new Set<string>();
  /** Rows in the change that is under way: each at most once in a transaction. */
  readonly #busy = new Set<string>();
  readonly #own: string[] = [];
  #inserted = 0;

  constructor(table: WrittenTable) {
    this.#kinds = table.kinds ?? ['insert', 'update', 'delete'];
    this.#seeds = table.seeds;
  }

  /** The next change, with the version that the row has afterwards (a deleted one: had). */
  next(): Omit<Change, 'table'> {
    const dice = Math.random();
    const kind = dice < 0.45 ? 'insert' : dice < 0.85 || !this.#kinds.includes('delete') ? 'update' : 'delete';
    const token = kind === 'insert' ? undefined : this.#pick();
    if (kind === 'insert' || token === undefined) return this.#insert();
    this.#busy.add(token);
    const version = this.#versions.get(token) ?? 0;
    return { kind, token, version: kind === 'delete' ? version : version + 1 };
  }

  /** The change is acknowledged, or rolled back, or nobody knows. */
  settle(change: Change, how: 'done' | 'undone' | 'unknown'): void {
    this.#busy.delete(change.token);
    if (how === 'unknown') this.#taboo.add(change.token);
    if (how !== 'done') return;
    if (change.kind === 'delete') {
      this.#versions.delete(change.token);
      this.#taboo.add(change.token);
    } else this.#versions.set(change.token, change.version);
    if (change.kind === 'insert') this.#own.push(change.token);
  }

  #insert(): Omit<Change, 'table'> {
    this.#inserted += 1;
    const token = `row-${this.#inserted}`;
    this.#busy.add(token);
    return { kind: 'insert', token, version: 1 };
  }

  #pick(): string | undefined {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const token = Math.random() < 0.5 ? `seed-${1 + Math.floor(Math.random() * this.#seeds)}` : this.#pickOwn();
      if (token !== undefined && !this.#taboo.has(token) && !this.#busy.has(token)) return token;
    }
    return undefined;
  }

  #pickOwn(): string | undefined {
    const index = Math.floor(Math.random() * this.#own.length);
    const token = this.#own[index];
    // Deleted ones leave the list when they are met, so that it does not fill up with them.
    if (token !== undefined && this.#taboo.has(token)) {
      this.#own[index] = this.#own.at(-1)!;
      this.#own.pop();
      return undefined;
    }
    return token;
  }
}
