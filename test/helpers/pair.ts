import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { Config } from '../../src/config/schema.ts';
import type { ConfigInput, Settings } from '../../src/config/schema.ts';
import type { OperationContext, Progress } from '../../src/engine/operation.ts';
import { createLogger } from '../../src/log.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import type { Side } from '../../src/postgres/cluster.ts';
import { id, lit } from '../../src/postgres/sql.ts';
import { createPrograms } from '../../src/postgres/programs.ts';
import { NO_TRAFFIC } from '../../src/postgres/traffic.ts';
import type { Traffic } from '../../src/postgres/traffic.ts';
import type { EngineName, ReplicationEngine } from '../../src/replication/engine.ts';
import { engineFor } from '../../src/replication/engines.ts';
import { openContext } from '../../src/runtime/context.ts';
import type { Clusters } from '../../src/runtime/context.ts';
import { sharedCluster } from './servers.ts';
import type { ClusterInfo, Major } from './servers.ts';

export interface PairOptions {
  readonly source?: Major | ClusterInfo;
  readonly target?: Major | ClusterInfo;
  readonly settings?: Partial<ConfigInput>;
  /** Native, unless said otherwise. The servers of pglogical are 13 and 18: on 15 and 17 dropping a database would hang. */
  readonly engine?: EngineName;
  readonly traffic?: Traffic;
}

export interface ContextOptions {
  readonly input?: unknown;
  readonly signal?: AbortSignal;
  /** Those of the run; all that the pair has, unless said otherwise. */
  readonly databases?: readonly string[];
  readonly options?: Record<string, boolean | number>;
  /** The target is the source of this job, and the source its target. */
  readonly reversed?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  readonly onNote?: (line: string) => void;
}

/**
 * A source and a target for one test file, on the clusters that all files share: with maintenance databases (so ledgers,
 * so advisory locks) and a replication role of its own, files do not see each other.
 */
export class TestPair implements AsyncDisposable {
  readonly source: ClusterInfo;
  readonly target: ClusterInfo;
  readonly clusters: Clusters;
  readonly engine: ReplicationEngine;
  readonly suffix: string;
  readonly #databases = new Set<string>();
  readonly #open: (() => Promise<void>)[] = [];
  readonly #own: ReadonlySet<Side>;

  private constructor(
    source: ClusterInfo,
    target: ClusterInfo,
    clusters: Clusters,
    engine: ReplicationEngine,
    suffix: string,
    own: ReadonlySet<Side>,
  ) {
    this.#own = own;
    this.source = source;
    this.target = target;
    this.clusters = clusters;
    this.engine = engine;
    this.suffix = suffix;
  }

  static async open(options: PairOptions = {}): Promise<TestPair> {
    const suffix = randomBytes(4).toString('hex');
    const engine = options.engine ?? 'native';
    const pglogical = engine === 'pglogical';
    const [source, target] = await Promise.all([
      infoOf(options.source ?? (pglogical ? 13 : 15), pglogical),
      infoOf(options.target ?? 18, pglogical),
    ]);
    const maintenance = `maintenance_${suffix}`;
    await Promise.all(
      [source, target].map((info) => onServer(info, 'postgres', `create database ${id(maintenance).text}`)),
    );
    const settings: Settings = Config.parse({
      engine,
      replication: { role: `pgconvoy_replication_${suffix}` },
      ...options.settings,
      cutover: { reverse: false, ...options.settings?.cutover },
    });
    return new TestPair(
      source,
      target,
      {
        source: new Cluster('source', addressOf(source), maintenance),
        target: new Cluster('target', addressOf(target), maintenance),
        settings,
        // The newest of the two has the newest client tools.
        programs: createPrograms({ bin: target.clients ? target.bin : source.bin }),
        traffic: options.traffic ?? NO_TRAFFIC,
      },
      engineFor(engine, 0),
      suffix,
      new Set((['source', 'target'] as const).filter((side) => typeof options[side] === 'object')),
    );
  }

  /** A name for a database or role that no other test file uses; keeps what is awkward about it. */
  name(base: string): string {
    return `${base} ${this.suffix}`;
  }

  /** Creates a database (by default on the source only) and runs statements in it. Returns its name. */
  async database(base: string, statements = '', sides: readonly Side[] = ['source']): Promise<string> {
    const name = this.name(base);
    this.#databases.add(name);
    for (const side of sides) {
      await onServer(this[side], 'postgres', `create database ${id(name).text} template template0`);
      if (statements !== '') await this.query(side, name, statements);
    }
    return name;
  }

  /** A database that an operation under test creates: dropped at the end with the others. */
  expectDatabase(name: string): void {
    this.#databases.add(name);
  }

  /** Runs statements as the superuser, outside of what is tested; returns the rows of the last one. */
  async query(side: Side, database: string, statements: string): Promise<Record<string, unknown>[]> {
    return onServer(this[side], database, statements);
  }

  /** The context of one job; closed with the pair. */
  context(database: string | undefined, options: ContextOptions = {}): OperationContext<any> {
    const { context, close } = openContext(this.clusters, {
      engine: this.engine,
      applicationName: `pgconvoy/test/${this.suffix}`,
      database,
      input: options.input ?? {},
      run: {
        id: `test-${this.suffix}`,
        databases: options.databases ?? [...this.#databases],
        options: options.options ?? {},
      },
      signal: options.signal ?? new AbortController().signal,
      log: createLogger('silent'),
      progress: options.onProgress ?? (() => {}),
      note: options.onNote ?? (() => {}),
      reversed: options.reversed ?? false,
    });
    this.#open.push(close);
    return context;
  }

  /** Ends all sessions of contexts; drops subscriptions, slots, databases and roles of this pair, whatever a test left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#open.map((close) => close().catch(() => {})));
    await Promise.all([this.clusters.source.close(), this.clusters.target.close()]);
    const names = [...this.#databases, this.clusters.source.maintenanceDatabase];
    for (const side of ['target', 'source'] as const) {
      const info = this[side];
      // On a server of the test's own, which may be one where dropping hangs, nobody needs it.
      if (this.#own.has(side)) continue;
      for (const name of names) await dropDatabase(info, name);
      const roles = await onServer(
        info,
        'postgres',
        `select rolname from pg_roles where rolname like ${lit(`%${this.suffix}`).text}`,
      );
      for (const { rolname } of roles) {
        await onServer(
          info,
          'postgres',
          `drop owned by ${id(String(rolname)).text}; drop role ${id(String(rolname)).text}`,
        ).catch(() => {});
      }
    }
  }
}

async function infoOf(server: Major | ClusterInfo, pglogical: boolean): Promise<ClusterInfo> {
  return typeof server === 'object' ? server : sharedCluster(server, { pglogical });
}

function addressOf(info: ClusterInfo) {
  return {
    host: info.host,
    port: info.port,
    user: info.user,
    password: info.password,
    ssl: false as const,
    connectTimeoutMs: 10_000,
  };
}

/** A short session of the superuser's. Several statements may come in one text. */
export async function onServer(
  info: ClusterInfo,
  database: string,
  statements: string,
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...addressOf(info), database });
  client.on('error', () => {});
  await client.connect();
  try {
    const result: unknown = await client.query(statements);
    const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<Record<string, unknown>>;
    return last.rows;
  } finally {
    await client.end();
  }
}

async function dropDatabase(info: ClusterInfo, name: string): Promise<void> {
  const [exists] = await onServer(info, 'postgres', `select 1 from pg_database where datname = ${lit(name).text}`);
  if (!exists) return;
  const subscriptions = await onServer(
    info,
    name,
    `select subname from pg_subscription where subdbid = (select oid from pg_database where datname = ${lit(name).text})`,
  );
  for (const { subname } of subscriptions) {
    const subscription = id(String(subname)).text;
    // A fence may still stand.
    await onServer(
      info,
      name,
      `begin read write; alter subscription ${subscription} disable;
       alter subscription ${subscription} set (slot_name = none); drop subscription ${subscription}; commit`,
    );
  }
  const [pglogical] = await onServer(info, name, `select 1 from pg_extension where extname = 'pglogical'`);
  if (pglogical) {
    await onServer(
      info,
      name,
      'select pglogical.alter_subscription_disable(sub_name, true) from pglogical.subscription',
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await onServer(info, name, 'select pglogical.drop_subscription(sub_name) from pglogical.subscription');
  }
  for (let attempt = 1; ; attempt++) {
    try {
      await onServer(
        info,
        'postgres',
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = ${lit(name).text} and pid <> pg_backend_pid()`,
      );
      await onServer(
        info,
        'postgres',
        `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = ${lit(name).text}`,
      );
      await onServer(info, 'postgres', `alter database ${id(name).text} with allow_connections true is_template false`);
      await onServer(info, 'postgres', `drop database if exists ${id(name).text}${pglogical ? ' with (force)' : ''}`);
      return;
    } catch (error) {
      // A walsender that was just terminated needs a moment to leave its slot and database.
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
