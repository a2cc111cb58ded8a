import pg from 'pg';
import { newClient, refusesTls, unknownSetting } from './connection.ts';
import type { ServerAddress } from './connection.ts';
import { Database } from './database.ts';
import type { Binding } from './database.ts';
import { toPgconvoyError } from './errors.ts';
import { lit } from './sql.ts';
import { ClusterIdentity, clusterIdentity } from './catalog/server.ts';
import { Room, roomForSessions } from './catalog/sessions.ts';
import { ANY_NEWER, majorOf, majorOfText } from './versions.ts';

export type Side = 'source' | 'target';

/**
 * How long a session without work is kept for the next step on the same database, milliseconds: a stage over a hundred databases takes
 * some ten seconds, and a new session with its empty caches costs more than what most steps ask.
 */
const IDLE_MS = 30_000;
/** Sessions kept per cluster and process: so much of the room that the server has beside them, and a few in any case. */
const IDLE_SHARE = 1 / 2;
const IDLE_LEAST = 8;
/** How long an answer about that room counts, milliseconds. */
const ROOM_MS = 10_000;
/** Of more sessions than that, the rest is kept for the next stage. */
const LANES = 24;

export interface ClusterFacts {
  /** server_version_num, e.g. 150020. */
  readonly versionNum: number;
  /** 10, 15, 18; before 10 one of 9.4, 9.5, 9.6. */
  readonly major: number;
  /** The same for a server and its physical copies, different for every initdb. */
  readonly systemIdentifier: string;
}

/** One of the two clusters, as one process sees it: opens sessions and keeps a few for the next job. Close it at the end. */
export class Cluster {
  readonly side: Side;
  readonly address: ServerAddress;
  /** Where cluster-wide statements run and the ledger lives. */
  readonly maintenanceDatabase: string;
  /** The address as it has worked: without TLS where `prefer` met a server without. */
  #reachable: ServerAddress;
  /** Settings of ours that the server is too old to know. */
  readonly #unknown = new Set<string>();
  readonly #majors = new WeakMap<pg.Client, number>();
  readonly #idle = new Map<pg.Client, { readonly database: string; readonly timer: NodeJS.Timeout }>();
  /** Sessions whose transaction others read along. */
  readonly #held = new Map<pg.Client, NodeJS.Timeout>();
  #idleMost = IDLE_LEAST;
  #roomAskedAt = -Infinity;

  constructor(side: Side, address: ServerAddress, maintenanceDatabase: string) {
    this.side = side;
    this.address = address;
    this.maintenanceDatabase = maintenanceDatabase;
    this.#reachable = address;
  }

  /** The cluster for one job: its databases share the job's signal and name, `close` gives all sessions back. */
  bind(binding: Binding): BoundCluster {
    return new BoundCluster(this, binding);
  }

  /**
   * A session of its own, or one that a job before has given back.
   * @throws UnreachableError, DatabaseError
   */
  async connect(database: string, applicationName: string): Promise<pg.Client> {
    // application_name holds 63 bytes of ASCII; the rest is cut or replaced by the server.
    const name = applicationName.slice(0, 63);
    for (const [client, kept] of this.#idle) {
      if (kept.database !== database) continue;
      clearTimeout(kept.timer);
      this.#idle.delete(client);
      try {
        await client.query(`reset all; set application_name = ${lit(name).text}`);
        await this.#askForRoom(client);
        return client;
      } catch {
        void client.end().catch(() => {});
      }
    }
    try {
      const client = await this.#open(database, name).catch(async (error: unknown) => {
        if (!isFull(error) || this.#idle.size === 0) throw error;
        await Promise.all([...this.#idle.keys()].map((kept) => kept.end().catch(() => {})));
        return this.#open(database, name);
      });
      await this.#askForRoom(client);
      return client;
    } catch (error) {
      throw toPgconvoyError(error, { server: this.side, database });
    }
  }

  /** How many sessions may be kept: applications need the rest. */
  async #askForRoom(client: pg.Client): Promise<void> {
    if (Date.now() - this.#roomAskedAt < ROOM_MS) return;
    this.#roomAskedAt = Date.now();
    const { text } = roomForSessions().at(this.majorOf(client));
    // What is wrong with a session its own statements tell.
    const answer = await client.query<Record<string, unknown>>(text).catch(() => undefined);
    if (!answer) return;
    const { free } = Room.parse(answer.rows[0]);
    this.#idleMost = Math.max(IDLE_LEAST, Math.floor((free + this.#idle.size) * IDLE_SHARE));
  }

  /**
   * A session of the replication protocol, for commands of walsenders.
   * @see https://www.postgresql.org/docs/current/protocol-replication.html
   * @throws UnreachableError, DatabaseError
   */
  async connectForReplication(database: string, applicationName: string): Promise<pg.Client> {
    try {
      return await this.#open(database, applicationName.slice(0, 63), 'replication');
    } catch (error) {
      throw toPgconvoyError(error, { server: this.side, database });
    }
  }

  /** The major version of the server behind a session, as the server itself has said when it began. */
  majorOf(client: pg.Client): number {
    return this.#majors.get(client) ?? ANY_NEWER;
  }

  /**
   * With sslmode `prefer`, a server that has or wants no TLS is asked again without, as libpq does; one that does not know a
   * setting is asked again without that.
   */
  async #open(database: string, applicationName: string, protocol?: 'replication'): Promise<pg.Client> {
    const dial = async (address: ServerAddress): Promise<pg.Client> => {
      // As it is now: a session that begins at the same time may find out more.
      const without = new Set(this.#unknown);
      const client = newClient(address, database, applicationName, without, protocol);
      client.connection.on('parameterStatus', ({ parameterName, parameterValue }: Record<string, string>) => {
        if (parameterName === 'server_version') this.#majors.set(client, majorOfText(parameterValue ?? ''));
      });
      try {
        await client.connect();
        client.once('end', () => {
          clearTimeout(this.#idle.get(client)?.timer);
          this.#idle.delete(client);
        });
        return client;
      } catch (error) {
        void client.end().catch(() => {});
        const setting = unknownSetting(error);
        if (setting === undefined || without.has(setting)) throw error;
        this.#unknown.add(setting);
        return dial(address);
      }
    };
    // Its own, since another session may find out meanwhile that there is no TLS.
    const address = this.#reachable;
    try {
      return await dial(address);
    } catch (error) {
      if (address.sslmode !== 'prefer' || address.ssl === false || !refusesTls(error)) throw error;
      const plain = { ...address, ssl: false } as const;
      const client = await dial(plain);
      this.#reachable = plain;
      return client;
    }
  }

  /** Keeps a session for the next job on that database, for a short while. */
  keep(database: string, client: pg.Client): void {
    // Whoever was busy last will most likely be needed next, in its lane; else, in the next stage, whoever was first. So one in the middle goes.
    while (this.#idle.size >= this.#idleMost) this.#drop(...[...this.#idle].slice(-LANES)[0]!);
    const timer: NodeJS.Timeout = setTimeout(() => this.#drop(client, { timer }), IDLE_MS);
    timer.unref();
    this.#idle.set(client, { database, timer });
  }

  #drop(client: pg.Client, { timer }: { readonly timer: NodeJS.Timeout }): void {
    clearTimeout(timer);
    this.#idle.delete(client);
    void client.end().catch(() => {});
  }

  /** Leaves a session as it is, transaction and all, until it is ended from outside, this process ends, or the time is up. */
  hold(client: pg.Client, mostMs: number): void {
    const timer = setTimeout(() => void client.end().catch(() => {}), mostMs);
    timer.unref();
    this.#held.set(client, timer);
    client.once('end', () => {
      clearTimeout(timer);
      this.#held.delete(client);
    });
  }

  /** Ends the kept sessions to a database, so that it can be fenced, renamed or dropped. */
  async forget(database: string): Promise<void> {
    const clients = [...this.#idle].filter(([, kept]) => kept.database === database).map(([client]) => client);
    for (const client of clients) this.#idle.delete(client);
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }

  /**
   * Cancels what a session of ours is doing, from a second session.
   * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
   */
  async cancel(client: pg.Client): Promise<void> {
    const pid = (client as unknown as { processID: number | null }).processID;
    if (pid === null) return;
    const other = newClient(this.#reachable, this.maintenanceDatabase, 'pgconvoy/cancel', this.#unknown);
    try {
      await other.connect();
      await other.query('select pg_cancel_backend($1)', [pid]);
    } catch {
      // The server is gone or refuses more sessions: then the statement ends with its connection.
    } finally {
      void other.end().catch(() => {});
      void client.end().catch(() => {});
    }
  }

  async close(): Promise<void> {
    const clients = [...this.#idle.keys(), ...this.#held.keys()];
    for (const { timer } of this.#idle.values()) clearTimeout(timer);
    this.#idle.clear();
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }
}

/** A cluster within one job. */
export class BoundCluster {
  readonly cluster: Cluster;
  readonly #binding: Binding;
  readonly #databases = new Map<string, Database>();
  #facts: Promise<ClusterFacts> | undefined;

  constructor(cluster: Cluster, binding: Binding) {
    this.cluster = cluster;
    this.#binding = binding;
  }

  get side(): Side {
    return this.cluster.side;
  }

  /** The maintenance database: cluster-wide statements and the ledger. */
  get maintenance(): Database {
    return this.database(this.cluster.maintenanceDatabase);
  }

  /** The same object for the same name, so one session per database and job. */
  database(name: string): Database {
    let database = this.#databases.get(name);
    if (!database) {
      database = new Database(this.cluster, name, this.#binding);
      this.#databases.set(name, database);
    }
    return database;
  }

  /** The same cluster for a part of the job, which this signal ends as well. Close it at the end of that part. */
  during(signal: AbortSignal): BoundCluster {
    return new BoundCluster(this.cluster, {
      ...this.#binding,
      signal: AbortSignal.any([this.#binding.signal, signal]),
    });
  }

  /**
   * Version and identity of the server, asked once per session: the server behind it stays the same.
   * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
   */
  facts(): Promise<ClusterFacts> {
    this.#facts ??= this.maintenance
      .lasting(ClusterIdentity, clusterIdentity())
      .then(({ versionNum, systemIdentifier }) => ({
        versionNum,
        major: majorOf(versionNum),
        systemIdentifier,
      }));
    return this.#facts;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#databases.values()].map((database) => database.close()));
    this.#databases.clear();
  }
}

/** too_many_connections */
const isFull = (error: unknown): boolean => (error as { readonly code?: unknown }).code === '53300';
