import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, Settings } from '../../config/schema.ts';
import type { Finding } from '../../engine/finding.ts';
import { fitsPattern } from '../../engine/name-pattern.ts';
import { errorText, UnreachableError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { giveUpReplication } from '../../operations/replication/given-up.ts';
import { AdvisoryLocks } from '../../postgres/advisory-locks.ts';
import type { Release } from '../../postgres/advisory-locks.ts';
import { WriteTransaction, writeTransactions } from '../../postgres/catalog/transactions.ts';
import type { Side } from '../../postgres/cluster.ts';
import { writeLag } from '../../queue/lag-record.ts';
import type { Lag } from '../../queue/lag-record.ts';
import type { Tell } from '../../queue/notices.ts';
import type { Queues } from '../../queue/queues.ts';
import { readWatch, writeWatch } from '../../queue/watch-record.ts';
import type { WatchFinding, WatchRecord } from '../../queue/watch-record.ts';
import { openContext } from '../context.ts';
import type { Clusters } from '../context.ts';
import { driftStatus } from '../drift-status.ts';
import { engineOf } from '../engine.ts';
import { DatabaseLocks } from '../locks.ts';
import { readStatus } from '../status/read-status.ts';
import type { DatabaseStatus } from '../status/types.ts';
import { walDisk } from './disk.ts';
import { judgeLook, keeperOf, NOTHING_SEEN, remember } from './judge.ts';
import type { Look, Memory } from './judge.ts';

/** A server that is away is not waited for longer. */
const MOST_MS = 60_000;
/** Each database costs a session on both sides: only in one of so many looks. */
const DRIFT_EACH = 10;
const DRIFT_MS = 10_000;
/** Whoever copies a database holds its lock for hours; who gives it up does not wait for that. */
const LOCK_MS = 2_000;

export interface WatchdogRequest {
  readonly clusters: Clusters;
  readonly queues: Queues;
  readonly config: Config['watchdog'];
  readonly worker: string;
  readonly tell: Tell;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Watchdog {
  /** Resolves when the signal has ended it. */
  readonly ended: Promise<void>;
}

/**
 * Looks after slots, subscriptions and disks while rows travel, in one worker of all: whoever holds a lock on the source. What it finds is
 * kept in the queue for status and metrics; what is a danger is told, and done about what the policy says.
 */
export const startWatchdog = (request: WatchdogRequest): Watchdog => ({
  ended: request.config.enabled ? watch(request) : resumeCopying(request.queues).catch(() => {}),
});

async function watch(request: WatchdogRequest): Promise<void> {
  const { clusters, config, log, signal } = request;
  const sides = [clusters.source, clusters.target].map((cluster) => new AdvisoryLocks(cluster, 'pgconvoy/watchdog'));
  const watcher = new Watcher(request);
  // A queue that is away answers never; a worker that stops does not wait for it.
  const end = new Promise<false>((resolve) => signal.addEventListener('abort', () => resolve(false), { once: true }));
  let held: Release | undefined;
  const hold = (locks: AdvisoryLocks) =>
    locks.hold('the watchdog', { signal, deadlineMs: 0, onLost: () => (held = undefined) });
  const letGo = async () => {
    held = undefined;
    await Promise.all(sides.map((locks) => locks.close()));
  };
  for (;;) {
    await sleep(config.every, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    try {
      // While the source is away, the target may keep WAL for rows that travel back.
      held ??= await hold(sides[0]!).catch((error: unknown) => {
        if (error instanceof UnreachableError) return hold(sides[1]!);
        throw error;
      });
      // A worker without anything to watch holds no session on anybody's server.
      if (!(await Promise.race([watcher.look(), end]))) await letGo();
    } catch (error) {
      if (!held) await letGo();
      if (!signal.aborted) log.debug({ reason: errorText(error) }, 'the watchdog does not look');
    }
  }
  await letGo();
}

/** One who looks, and remembers what he has seen. */
export class Watcher {
  readonly #request: WatchdogRequest;
  #memory: Memory = NOTHING_SEEN;
  #drift: readonly Finding[] = [];
  #looks = 0;

  constructor(request: WatchdogRequest) {
    this.#request = request;
  }

  /** Whether there is anything to look after: a slot or a subscription of ours. */
  async look(): Promise<boolean> {
    const { clusters, queues, config, worker, log, signal } = this.#request;
    const before = await readWatch(queues);
    const look = await this.#see(AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]));
    const judged = judgeLook(look, this.#memory, config).filter(({ concern }) => config.policy[concern] !== 'ignore');
    this.#memory = remember(look, this.#memory);
    const findings = judged.map(({ concern, finding }): WatchFinding => {
      const known = before?.findings.find((one) => keyOf(one) === keyOf(finding) && one.severity === finding.severity);
      return { ...finding, concern, since: known?.since ?? look.at };
    });
    const pausesCopying = findings.some((one) => acts(one) && config.policy[one.concern] === 'pause-copying');
    if (pausesCopying) await queues.copy.pause();
    else if (before?.pausesCopying) await queues.copy.resume();
    await this.#noteLag(look);
    await writeWatch(queues, { at: look.at, worker, findings, pausesCopying } satisfies WatchRecord);
    for (const finding of findings.filter(({ since }) => since === look.at)) await this.#say(finding);
    if (pausesCopying !== (before?.pausesCopying ?? false))
      log.warn(pausesCopying ? 'the watchdog lets no further copy begin' : 'copies begin again');
    await this.#giveUp(findings, look, clusters);
    return look.databases.some(({ slot, setup }) => slot !== undefined || setup.target.subscription);
  }

  /** Pages that are opened later show the past. */
  async #noteLag({ at, databases }: Look): Promise<void> {
    const lags = databases.flatMap(({ database, slot, lagBytes, lagSeconds }): [string, Lag][] =>
      slot && lagBytes !== undefined ? [[database, [lagBytes, lagSeconds ?? null, slot.retainedBytes]]] : [],
    );
    if (lags.length > 0) await writeLag(this.#request.queues, { at, databases: Object.fromEntries(lags) });
  }

  async #see(signal: AbortSignal): Promise<Look> {
    const { clusters, queues } = this.#request;
    const copying = await queues.copy.getActive();
    const inCopy = new Set(copying.flatMap((job) => (job?.data.database?.name as string | undefined) ?? []));
    const { failures } = this.#memory;
    const status = await readStatus(
      clusters,
      signal,
      [...inCopy],
      (database, now) => now > (failures.get(database) ?? Infinity),
    );
    // Others may belong to another installation, which looks after them.
    const databases = status.databases.filter(({ database }) => isOurs(database, clusters.settings.databases));
    const sides = new Set(databases.filter(({ slot }) => slot).map(keeperOf));
    const [source, target] = await Promise.all([
      sides.has('source') ? this.#askServer('source', signal) : undefined,
      sides.has('target') ? this.#askServer('target', signal) : undefined,
    ]);
    if (sides.has('source') && this.#looks++ % DRIFT_EACH === 0)
      this.#drift = (await driftStatus(clusters, signal, DRIFT_MS)).drift;
    return {
      at: Date.now(),
      databases,
      transactions: source?.transactions ?? [],
      disks: { ...(source ? { source: source.disk } : {}), ...(target ? { target: target.disk } : {}) },
      inCopy,
      drift: this.#drift,
    };
  }

  async #askServer(side: Side, signal: AbortSignal) {
    const bound = this.#request.clusters[side].bind({ applicationName: 'pgconvoy/watchdog', signal });
    try {
      const disk = await walDisk(bound);
      return { disk, transactions: await bound.maintenance.many(WriteTransaction, writeTransactions()) };
    } finally {
      await bound.close();
    }
  }

  async #say(finding: WatchFinding): Promise<void> {
    const { config, tell, log } = this.#request;
    const { code, side, database, severity, message, remedy, since, concern } = finding;
    log.warn({ code, side, database, severity, remedy }, `the watchdog: ${message}`);
    if (!acts(finding)) return;
    const does = config.policy[concern];
    const where = database === undefined ? `the ${side}` : `database "${database}"`;
    await tell({
      id: `watchdog.${hash(keyOf(finding))}.${since}`,
      event: 'danger',
      ...(database === undefined ? {} : { database }),
      what: `${where} is in danger (${code})`,
      why: message,
      next: does === 'warn' ? remedy : `${remedy} The watchdog's policy for it is ${does}.`,
      at: since,
    });
  }

  /** One database in each look: what that has freed is seen in the next one. */
  async #giveUp(findings: readonly WatchFinding[], look: Look, clusters: Clusters): Promise<void> {
    const { config, queues, log } = this.#request;
    const wanted = findings.filter((one) => acts(one) && config.policy[one.concern] === 'give-up');
    if (wanted.length === 0) return;
    const cuttingOver = new Set(
      (await queues.cutover.getJobs(['active', 'delayed'])).map(
        (job) => job?.data.database?.name as string | undefined,
      ),
    );
    for (const { database, message, since } of wanted) {
      const status = look.databases.find((one) => one.database === database && one.slot);
      // Behind its fence it will be through in a moment, or be given back.
      if (!status || status.setup.source.fenced || cuttingOver.has(status.database)) continue;
      try {
        await giveUpDatabase(clusters, status, message, look.inCopy.has(status.database), this.#request);
        return await this.#sayGivenUp(status, message, since);
      } catch (error) {
        log.error({ database, reason: errorText(error) }, 'the watchdog cannot give it up');
      }
    }
  }

  async #sayGivenUp(status: DatabaseStatus, why: string, since: number): Promise<void> {
    const { tell, log } = this.#request;
    const { database } = status;
    const side = keeperOf(status);
    log.error({ database, why }, `the watchdog has given it up: the ${side} keeps no WAL for it any more`);
    await tell({
      id: `watchdog.given-up.${hash(database)}.${since}`,
      event: 'danger',
      database,
      what: `database "${database}" was given up: the ${side} keeps no WAL for it any more`,
      why,
      next:
        side === 'source'
          ? 'Repair the cause; then pgconvoy start copies it anew. A run that is still at it is ended by pgconvoy cancel.'
          : 'There is no rollback of it any more; pgconvoy finish ends what is left of the way back.',
      at: Date.now(),
    });
  }
}

async function giveUpDatabase(
  clusters: Clusters,
  status: DatabaseStatus,
  why: string,
  inCopy: boolean,
  { log, signal }: Pick<WatchdogRequest, 'log' | 'signal'>,
): Promise<void> {
  const { database } = status;
  const back = keeperOf(status) === 'target';
  const locks = new DatabaseLocks(clusters);
  const limited = AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]);
  const { context, close } = openContext(clusters, {
    engine: await engineOf(clusters, limited, { back }),
    applicationName: 'pgconvoy/watchdog',
    database,
    input: {},
    run: { id: 'watchdog', databases: [database], options: { back } },
    reversed: back,
    signal: limited,
    log,
    progress: () => {},
  });
  try {
    const lock = locks.hold(database, { signal: limited, deadlineMs: LOCK_MS, onLost: () => {} });
    // The lock is on both sides: where one is away, or a copy holds it, the disk cannot wait.
    const release = await lock.catch((error: unknown) => {
      if (inCopy || error instanceof UnreachableError) return undefined;
      throw error;
    });
    await giveUpReplication(context, why);
    await release?.();
  } finally {
    await Promise.allSettled([close(), locks.close()]);
  }
}

/** Of a worker whose watchdog is off: what another one had paused goes on. */
async function resumeCopying(queues: Queues): Promise<void> {
  const before = await readWatch(queues);
  if (!before?.pausesCopying) return;
  await queues.copy.resume();
  await writeWatch(queues, { ...before, pausesCopying: false });
}

const isOurs = (name: string, { include, exclude }: Settings['databases']): boolean =>
  include.some((pattern) => fitsPattern(name, pattern)) && !exclude.some((pattern) => fitsPattern(name, pattern));

/** What is a danger; of the others people are warned where they look. */
const acts = ({ severity }: Finding): boolean => severity === 'block';

const keyOf = ({ code, side, database, object }: Finding): string => JSON.stringify([code, side, database, object]);
const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
