import { errorText, PgconvoyError, UnreachableError } from '../../errors.ts';
import { answers } from '../../queue/store.ts';
import type { Queues } from '../../queue/queues.ts';
import { listRuns, readRun, workersListening } from '../../queue/read-run.ts';
import type { RunLine, RunView, StepView } from '../../queue/types.ts';
import type { ClusterStatus } from '../../runtime/status/types.ts';
import { replicationLine } from './cluster-history.ts';
import type { ClusterHistory, ReplicationLine } from './cluster-history.ts';
import { Feed } from './feed.ts';
import type { Watched } from './feed.ts';
import { laneStepsOf, outageOf, pageOf } from './run-page.ts';
import type { LaneLine, RunPage } from './run-page.ts';

/** Runs, for whoever has their pages open. */
interface Watches {
  readonly list: Watched;
  readonly clusters: Watched;
  run(id: string): Watched;
  /** Everything about one database of a run, or about the servers; undefined where there is no such lane. */
  lane(run: string, database: string | null): Promise<LaneDetail | undefined>;
}

/** What a lane's steps were doing, without what they observed. */
type StepLine = Omit<StepView, 'output' | 'changes' | 'operation' | 'database'>;

interface LaneDetail {
  readonly name: string | null;
  readonly steps: readonly StepLine[];
  readonly outage?: LaneLine['outage'];
  readonly samples: ReturnType<ClusterHistory['samples']>;
  /** Bytes a second by which the WAL that its slot retains grows. */
  readonly growth?: number;
}

const QUEUE_AWAY = 'The queue cannot be reached. Runs are not lost: this page goes on when it is back.';
const PATIENCE_MS = 2_000;
const RUN_MS = 500;
const LIST_MS = 2_000;
/** It costs sessions on both clusters. */
const CLUSTERS_MS = 10_000;
const CLUSTERS_MOST_MS = 30_000;

interface RunLook {
  readonly view: RunView;
  readonly workers: number;
  readonly page: RunPage;
}

export function createWatches(queues: Queues, history: ClusterHistory): Watches {
  const runs = new Map<string, Feed<RunLook | Gone>>();
  const feedOf = (id: string) => {
    for (const [known, feed] of runs) if (!feed.watched && known !== id) runs.delete(known);
    const feed =
      runs.get(id) ??
      new Feed({ look: () => lookAtRun(queues, id), events: runEvents, everyMs: RUN_MS, trouble: QUEUE_AWAY });
    runs.set(id, feed);
    return feed;
  };
  return {
    run: feedOf,
    list: new Feed({ look: () => lookAtList(queues), events: listEvents, everyMs: LIST_MS, trouble: QUEUE_AWAY }),
    clusters: new Feed({
      look: (signal) => history.read(AbortSignal.any([signal, AbortSignal.timeout(CLUSTERS_MOST_MS)])),
      events: clusterEvents,
      everyMs: CLUSTERS_MS,
      trouble: 'Source and target cannot be asked.',
    }),
    async lane(run, database) {
      const known = feedOf(run).now;
      const view = known && 'view' in known ? known.view : await readRun(queues, run);
      const steps = laneStepsOf(view, database);
      if (!steps) return undefined;
      const growth = database === null ? undefined : history.growth(database);
      const outage = database === null ? undefined : outageOf(steps, laneStepsOf(view, null) ?? []);
      return {
        name: database,
        steps: steps.map(stepLine),
        ...(outage ? { outage } : {}),
        samples: database === null ? [] : history.samples(database),
        ...(growth === undefined ? {} : { growth }),
      };
    },
  };
}

const stepLine = ({ output: _o, changes: _c, operation: _p, database: _d, ...line }: StepView): StepLine => line;

/** There is no such run: whoever comes later sees it when there is. */
interface Gone {
  readonly gone: string;
}

/** Commands to a queue that is away wait until it is back. */
async function requireQueue(queues: Queues): Promise<void> {
  if (!(await answers(queues, PATIENCE_MS))) throw new UnreachableError(QUEUE_AWAY, { hint: 'Start it.' });
}

async function lookAtList(queues: Queues): Promise<readonly RunLine[]> {
  await requireQueue(queues);
  return listRuns(queues);
}

async function lookAtRun(queues: Queues, id: string): Promise<RunLook | Gone> {
  await requireQueue(queues);
  try {
    const view = await readRun(queues, id);
    const { count } = await workersListening(queues);
    return { view, workers: count, page: pageOf(view) };
  } catch (error) {
    if (error instanceof UnreachableError || !(error instanceof PgconvoyError)) throw error;
    return { gone: errorText(error) };
  }
}

type Events = readonly (readonly [event: string, data: unknown])[];

function runEvents(now: RunLook | Gone, before: RunLook | Gone | undefined): Events {
  if ('gone' in now) return before && 'gone' in before ? [] : [['gone', { message: now.gone }]];
  const known = before && 'view' in before ? before : undefined;
  const { head, lanes } = now.page;
  // The browser's clock may be another one.
  const whole = { ...head, workers: now.workers };
  if (!known || known.page.lanes.length !== lanes.length) return [['all', { clock: Date.now(), head: whole, lanes }]];
  const changed = lanes.flatMap((line, index) =>
    isSame(line, known.page.lanes[index]) ? [] : [[index, line] as const],
  );
  return [
    ...(isSame(whole, { ...known.page.head, workers: known.workers }) ? [] : [['head', whole] as const]),
    ...(changed.length === 0 ? [] : [['lanes', changed] as const]),
  ];
}

const listEvents = (now: readonly RunLine[], before: readonly RunLine[] | undefined): Events =>
  isSame(now, before) ? [] : [['runs', { clock: Date.now(), runs: now }]];

interface ClusterLines {
  readonly databases: Readonly<Record<string, ReplicationLine>>;
}

function clusterEvents(now: ClusterStatus, before: ClusterStatus | undefined): Events {
  const old = new Map(before?.databases.map((one) => [one.database, replicationLine(one)]));
  const lines = now.databases.map((one) => [one.database, replicationLine(one)] as const);
  const changed: ClusterLines['databases'] = Object.fromEntries(
    lines.filter(([name, line]) => !isSame(line, old.get(name))),
  );
  const { source, target } = now.configuration;
  return [['clusters', { servers: { source, target }, unreachable: now.unreachable, databases: changed }]];
}

const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
