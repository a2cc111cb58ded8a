/**
 * An application that does not know where it belongs: it tries to write on both sides of each database, all the time, and so sees which of them
 * can be written to. What it has seen is held against what was committed, by the servers' own clocks.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ClusterInfo } from '../servers.ts';
import { eventually } from '../wait.ts';
import type { WriterSide } from './journal.ts';
import type { Observation, ObserverReport, ObserverStart } from './observer-process.ts';
import { query, quoted } from './session.ts';
import { writerRole } from './workload.ts';

const TABLE = 'Observed';
const SIDES: readonly WriterSide[] = ['source', 'target'];

export interface ObserverOptions {
  /** Both with track_commit_timestamp, and their clocks must be one. */
  readonly source: ClusterInfo;
  readonly target: ClusterInfo;
  readonly databases: readonly string[];
}

/** The table that the observer writes to; before the schema is copied. */
export async function createObserved({ source, databases }: ObserverOptions): Promise<void> {
  const name = quoted('public', TABLE);
  for (const database of databases)
    await query(
      source,
      database,
      `create table ${name} (id text primary key, side text not null); grant select, insert on ${name} to ${quoted(writerRole.user)}`,
    );
}

export class Observer implements AsyncDisposable {
  readonly #options: ObserverOptions;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #latest: ObserverReport = {};
  #seen: readonly Observation[] = [];

  private constructor(options: ObserverOptions) {
    this.#options = options;
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    this.#child = fork(join(import.meta.dirname, 'observer-process.ts'), { execArgv: ['--import', tsx] });
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve(signal ?? code));
    });
    this.#child.on('message', (message) => {
      if (Array.isArray(message)) this.#seen = message as readonly Observation[];
      else this.#latest = message as ObserverReport;
    });
    const endpoint = ({ host, port }: ClusterInfo) => ({ host, port, ...writerRole });
    const { databases, source, target } = options;
    this.#child.send({
      databases,
      table: TABLE,
      endpoints: { source: endpoint(source), target: endpoint(target) },
    } satisfies ObserverStart);
  }

  static start(options: ObserverOptions): Observer {
    return new Observer(options);
  }

  /** Waits until an application has written in each database, on whichever side, from now on. */
  async everyDatabaseIsOpen(more: () => string): Promise<void> {
    const since = performance.timeOrigin + performance.now();
    await eventually(
      () => {
        const shut = this.#options.databases.filter(
          (database) => !SIDES.some((side) => (this.#latest[`${database} ${side}`] ?? 0) > since),
        );
        assert.deepEqual(shut, [], `nobody can write to these databases\n${more()}`);
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Ends after the writes that are under way. */
  async stop(): Promise<void> {
    this.#child.send('stop');
    assert.equal(await this.#ended, 0, 'the observer has ended badly');
  }

  /**
   * Proves for each database that there was never more than one side to write to: by the order in which its writes were
   * committed, and by that in which the acknowledged ones were sent, the side has changed as often as it was told to. Every acknowledged
   * write is on both sides. It has been stopped, and everything has travelled.
   * @param expected the sides that were to be written to, one after the other
   */
  async prove(expected: readonly WriterSide[]): Promise<void> {
    for (const database of this.#options.databases) {
      const seen = this.#seen.filter((each) => each.database === database);
      const [source, target] = await Promise.all(SIDES.map((side) => committedOn(this.#options[side], database, side)));
      const committed = [...source!.home, ...target!.home].sort((one, other) => one.at - other.at);
      assert.deepEqual(changesOf(committed), expected, `${database}: sides by time of commit`);
      const sent = seen.toSorted((one, other) => one.sentAt - other.sentAt);
      assert.deepEqual(changesOf(sent), expected, `${database}: sides by the clock of the observer`);
      for (const { all } of [source!, target!])
        assert.deepEqual(
          seen.map(({ id }) => id).filter((id) => !all.has(id)),
          [],
          `${database}: acknowledged and lost`,
        );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

interface Committed {
  /** Written on this side by the observer, with the server's time of the commit. */
  readonly home: readonly { readonly side: WriterSide; readonly at: number }[];
  readonly all: ReadonlySet<string>;
}

/** @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-COMMIT-TIMESTAMP */
async function committedOn(cluster: ClusterInfo, database: string, side: WriterSide): Promise<Committed> {
  const rows = await query(
    cluster,
    database,
    `select id, side, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::float8 as at from ${quoted('public', TABLE)}`,
  );
  return {
    home: rows.filter((row) => row['side'] === side).map((row) => ({ side, at: Number(row['at']) })),
    all: new Set(rows.map((row) => row['id'] as string)),
  };
}

/** The sides one after the other, each once as long as it stays the same. */
const changesOf = (writes: readonly { readonly side: WriterSide }[]): readonly WriterSide[] =>
  writes.map(({ side }) => side).filter((side, index, all) => side !== all[index - 1]);
