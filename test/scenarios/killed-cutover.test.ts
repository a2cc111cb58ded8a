import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { stagesOf } from '../../src/engine/plan.ts';
import { bundled } from '../helpers/bundled.ts';
import { onServer } from '../helpers/pair.ts';
import { recordServer } from '../helpers/run-folder.ts';
import { assertRun, Scenario } from '../helpers/scenario.ts';
import { everythingTravelled } from '../helpers/travelled.ts';
import { eventually } from '../helpers/wait.ts';
import { createObserved, Observer } from '../helpers/workload/observer.ts';
import { stop } from '../../workflows/stop.ts';

/** Steps of a cutover from the fence on, in their order, of databases together and of each on its own. */
const CUTOVER = (() => {
  const others = (names: string | readonly string[] = []) => [names].flat().filter((name) => name !== 'together');
  const rows = stop.rows.map((row) => {
    if (!('operation' in row)) return row;
    const { when, unless, ...policy } = row.policy;
    return { ...row, policy: { ...policy, when: others(when), unless: others(unless) } };
  });
  const stages = stagesOf(rows, { reverse: true, compareOpened: true });
  const keys = stages.flatMap((stage) => (stage.kind === 'gate' ? [] : stage.steps.map(({ key }) => key)));
  return keys.slice(keys.indexOf('fence-source'));
})();
const DECISION = CUTOVER.indexOf('agree-to-open');

/** A worker is killed when it begins this step of the cutover or a later one, and so many milliseconds after. */
interface Kill {
  readonly position: number;
  readonly afterMs: number;
}

/** The same numbers from the same seed, from 0 to below 1 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One worker at a time, killed as it is told to, and a next one that has loaded already. */
class MortalWorkers {
  readonly #start: () => Mortal;
  readonly #logFile: string;
  #kills: readonly Kill[] = [];
  /** Whether the next one begins at once. */
  #lives = true;
  #current: Mortal | undefined;
  #next: Mortal;
  /** At which steps they were killed. */
  readonly deaths: string[] = [];

  constructor(script: string, folder: string) {
    this.#logFile = join(folder, 'mortal.log');
    this.#start = () => new Mortal(script, join(folder, 'pgconvoy.yaml'), this.#logFile);
    this.#next = this.#start();
    this.goOn();
  }

  /** Kills one worker after the other. Without more kills the last one lives. */
  kill(...kills: readonly Kill[]): void {
    this.#kills = [...this.#kills, ...kills];
  }

  /** The next one that is killed has no successor, until `goOn`. */
  leaveAlone(): void {
    this.#lives = false;
  }

  goOn(): void {
    this.#lives = true;
    this.#current = this.#next;
    this.#next = this.#start();
    let dying = false;
    this.#current.start((step) => {
      const [kill, ...others] = this.#kills;
      if (dying || kill === undefined || CUTOVER.indexOf(step) < kill.position) return;
      dying = true;
      this.#kills = others;
      const mortal = this.#current!;
      setTimeout(() => {
        this.deaths.push(`${step} +${kill.afterMs} ms`);
        void this.#bury(mortal);
      }, kill.afterMs);
    });
  }

  async #bury(mortal: Mortal): Promise<void> {
    await mortal.kill();
    this.#current = undefined;
    if (this.#lives) this.goOn();
  }

  get isAlive(): boolean {
    return this.#current !== undefined;
  }

  readonly log = (): string => readFileSync(this.#logFile, 'utf8').split('\n').slice(-40).join('\n');

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lives = false;
    await Promise.all([this.#current?.kill(), this.#next.kill()]);
  }
}

class Mortal {
  readonly #child;
  readonly #gone: Promise<void>;

  constructor(script: string, config: string, logFile: string) {
    const log = openSync(logFile, 'a');
    this.#child = fork(script, [config], { execArgv: [], stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    recordServer(this.#child.pid!, 'SIGKILL');
    this.#gone = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  start(onStep: (key: string) => void): void {
    this.#child.on('message', (key) => onStep(key as string));
    this.#child.send('start');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

test(
  'kill -9 of the worker at 20 random points of cutovers: never two sides to write to, nobody shut out for good, no row lost',
  { timeout: 480_000 },
  async () => {
    const seed = Number(process.env['PGCONVOY_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`PGCONVOY_TEST_SEED=${seed} kills at the same points again`);
    const random = randomOf(seed);
    const kills = (count: number, before = CUTOVER.length): Kill[] =>
      Array.from({ length: count }, () => ({
        position: Math.floor(random() * before),
        afterMs: Math.floor(random() * 60),
      })).sort((one, other) => one.position - other.position);

    await using scenario = await Scenario.open({
      databases: ['testdb', 'shop', 'My "odd" DB'],
      config: { cutover: { reverse: true, together: true }, deadlines: { outage: '5m' } },
      settings: { track_commit_timestamp: 'on', wal_retrieve_retry_interval: '200ms' },
    });
    const { source, target } = scenario;
    const observed = { source, target, databases: scenario.databases.map(({ name }) => name) };
    await createObserved(observed);
    await using workers = new MortalWorkers(await bundled('test/helpers/mortal-worker.ts'), scenario.program.folder);
    await using writers = scenario.startWriters();
    await writers.everywhere();
    await using observer = Observer.start(observed);
    for (const words of [['fix', '--yes'], ['setup'], ['start']]) await scenario.complete(...words);
    const cutover = async (...words: readonly string[]) =>
      assertRun(await scenario.command(...words, '--yes'), 0, 'completed', workers.log());
    const undecided = async () => {
      const [row] = await onServer(
        source,
        'postgres',
        `select count(*)::int as fences, coalesce(bool_and(clock_timestamp() > (before->>'deadline')::timestamptz), true) as late
         from pgconvoy.ledger f
        where kind = 'fence' and not exists (select from pgconvoy.ledger where kind = 'opened' and database = f.database)`,
      );
      return row as { readonly fences: number; readonly late: boolean };
    };

    // Nobody is there when the deadline comes: whoever begins next gives back, or finishes what was decided.
    workers.leaveAlone();
    workers.kill(...kills(1, DECISION));
    const first = scenario.command('stop', '--yes', '--deadline', '2s');
    await eventually(() => expect(workers.isAlive).toBe(false), { timeoutMs: 60_000 });
    await eventually(async () => expect(await undecided()).toMatchObject({ late: true }));
    workers.goOn();
    await observer.everyDatabaseIsOpen(workers.log);
    const { run, told } = await first;
    await eventually(async () => assert.equal((await undecided()).fences, 0, told), { timeoutMs: 30_000 });
    await observer.everyDatabaseIsOpen(workers.log);
    if (run!.state !== 'completed') {
      await scenario.program.run('cancel', run!.id);
      await scenario.follow(`${run!.id}-undo`);
    }

    workers.kill(...kills(7));
    await cutover('stop', '--each');
    await writers.goneFromSource();
    workers.kill(...kills(6));
    await cutover('rollback');
    await writers.backOnSource(observed.databases.length);
    workers.kill(...kills(6));
    await cutover('stop');
    await writers.goneFromSource();
    console.log(`killed at: ${workers.deaths.join(', ')}`);
    expect(workers.deaths).toHaveLength(20);

    await observer.everyDatabaseIsOpen(workers.log);
    const journal = await writers.stop();
    await observer.stop();
    await everythingTravelled(target, scenario.databases);
    await observer.prove(['source', 'target', 'source', 'target']);
    await scenario.prove(journal, 'everything');
  },
);
