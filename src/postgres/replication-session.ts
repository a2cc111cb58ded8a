import type pg from 'pg';
import * as z from 'zod';
import type { Cluster } from './cluster.ts';
import type { Binding } from './database.ts';
import { toPgconvoyError } from './errors.ts';
import { fragment, id, since, sql } from './sql.ts';
import type { Sql } from './sql.ts';

/** What all tables held where a slot begins, readable as long as the session that made it stays as it is. */
export interface ExportedSnapshot {
  /** For SET TRANSACTION SNAPSHOT in other sessions. */
  readonly name: string;
  /** The slot sends what was committed after this LSN. */
  readonly lsn: string;
}

/** Before 10 a logical slot exports its snapshot without being told to, and knows no word for it. */
export const createSlotCommand = (slot: string, plugin: string): Sql =>
  sql`CREATE_REPLICATION_SLOT ${id(slot)} LOGICAL ${id(plugin)}${since('exportSnapshotOption', fragment` EXPORT_SNAPSHOT`, fragment``)}`;

const CreatedSlot = z.object({ snapshot_name: z.string(), consistent_point: z.string() });

/**
 * One session of the replication protocol, bound to a job: aborting its signal ends it.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export class ReplicationSession implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #database: string;
  readonly #binding: Binding;
  #client: pg.Client | undefined;

  constructor(cluster: Cluster, database: string, binding: Binding) {
    this.#cluster = cluster;
    this.#database = database;
    this.#binding = binding;
  }

  /**
   * Creates a logical slot and exports its snapshot until the session ends. One that is not complete within `timeoutMs`
   * leaves nothing behind.
   * @throws DatabaseError (57014 after `timeoutMs`), UnreachableError
   */
  async createSlot(slot: string, plugin: string, timeoutMs: number): Promise<ExportedSnapshot> {
    const { signal, applicationName } = this.#binding;
    signal.throwIfAborted();
    this.#client ??= await this.#cluster.connectForReplication(this.#database, applicationName);
    const client = this.#client;
    let late = false;
    const cancel = () => void this.#cluster.cancel(client);
    const timer = setTimeout(() => {
      late = true;
      cancel();
    }, timeoutMs);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      const { text } = createSlotCommand(slot, plugin).at(this.#cluster.majorOf(client));
      const row = CreatedSlot.parse((await client.query<object>(text)).rows[0]);
      return { name: row.snapshot_name, lsn: row.consistent_point };
    } catch (error) {
      signal.throwIfAborted();
      const place = { server: this.#cluster.side, database: this.#database };
      if (!late) throw toPgconvoyError(error, place);
      throw toPgconvoyError({ code: '57014', message: `no slot within ${timeoutMs} ms` }, place);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.end().catch(() => {});
  }
}
