import * as z from 'zod';
import type { RunView, StepView } from '../../queue/types.ts';
import { stepsOf } from '../run-facts.ts';

/** What a rehearsal tells of the cutover to come. Times are milliseconds. */
export interface Prediction {
  /** The longest outage first. */
  readonly databases: readonly PredictedOutage[];
  /** Databases inside their outage at once (budgets.cutovers). */
  readonly atOnce: number;
  /** Each database opens as soon as it is ready. */
  readonly own: { readonly medianMs: number; readonly worstMs: number; readonly wholeMs: number };
  /** Nobody opens before all are ready. At most: four steps for each database are one then, and share their sessions. */
  readonly together: {
    readonly worstMs: number;
    /** Of it: what is done for all at once (fence, the last rows, privileges, opening), as long as the longest of each took. */
    readonly onceMs: number;
    /** Of it: what each database needs by itself, so many at a time. */
    readonly eachMs: number;
  };
  /** Past it, a database is given back (deadlines.outage). */
  readonly deadlineMs: number;
  /** Databases of the run without a prediction. */
  readonly without: readonly string[];
  /** What the cutover would do as well, and was neither done nor estimated. */
  readonly leftOut: readonly string[];
  readonly warnings: readonly string[];
}

export interface PredictedOutage {
  readonly database: string;
  /** Measured and estimated. */
  readonly milliseconds: number;
  /** Of it: raising the fence and noting the opening, which are not done. */
  readonly estimatedMs: number;
  /** What was done on the target, in its order. */
  readonly steps: readonly { readonly step: string; readonly milliseconds: number }[];
  /** Sessions of others in the source's database, which a fence would end. */
  readonly sessions: number;
}

const Foreseen = z.object({
  opened: z.literal(false),
  sessions: z.number(),
  atOnce: z.number(),
  outageMs: z.number(),
});

/**
 * Raising the fence and opening take about so many times as long as the step that foresees the fence, which makes a few statements on
 * the source: on the same machines, beside the same load.
 */
const FENCE_AND_OPENING = 5;

/** Steps of one database, that a cutover of many together does once for all of them. */
const ONCE_FOR_ALL: ReadonlySet<string> = new Set(['hold-target', 'copy-database-privileges']);

/** What a rehearsal has measured, or undefined where it has measured nothing. Pure. */
export function predictionOf(view: RunView): Prediction | undefined {
  const lanes = new Map<string, StepView[]>();
  for (const step of stepsOf(view)) {
    if (step.database === undefined) continue;
    const lane = lanes.get(step.database);
    if (lane) lane.push(step);
    else lanes.set(step.database, [step]);
  }
  const measured = view.databases.flatMap(({ name }) => measuredOf(name, lanes.get(name) ?? []) ?? []);
  const [first] = measured;
  if (!first) return undefined;
  const { atOnce, outageMs: deadlineMs } = first.foreseen;
  // One look alone is a matter of chance.
  const estimatedMs = FENCE_AND_OPENING * medianOf(measured.map(({ lookMs }) => lookMs));
  const inOrder = measured.map(({ database, steps, foreseen }) => ({
    database,
    milliseconds: steps.reduce((sum, step) => sum + step.milliseconds, estimatedMs),
    estimatedMs,
    steps,
    sessions: foreseen.sessions,
  }));
  const databases = inOrder.toSorted((one, other) => other.milliseconds - one.milliseconds);
  const wholeMs = makespan(
    inOrder.map(({ milliseconds }) => milliseconds),
    atOnce,
  );
  const together = togetherOf(measured, estimatedMs, atOnce);
  const known = new Set(databases.map(({ database }) => database));
  return {
    databases,
    atOnce,
    own: {
      medianMs: medianOf(databases.map(({ milliseconds }) => milliseconds)),
      worstMs: databases[0]!.milliseconds,
      wholeMs,
    },
    together,
    deadlineMs,
    without: view.databases.flatMap(({ name }) => (known.has(name) ? [] : [name])),
    leftOut: leftOutOf(view.options),
    warnings: [
      ...lateOf(databases, deadlineMs, view.options['together'] === true ? together.worstMs : 0),
      ...metOf(view),
    ],
  };
}

type Measured = NonNullable<ReturnType<typeof measuredOf>>;

/**
 * A group waits for its last row and asks for its privileges once, and then for what its databases need one by one. There a look at each
 * comes to it: the fence, the decision and the opening ask for something of every database, too.
 */
function togetherOf(measured: readonly Measured[], estimatedMs: number, atOnce: number): Prediction['together'] {
  const longest = [...ONCE_FOR_ALL].map((key) =>
    Math.max(
      0,
      ...measured.flatMap(({ steps }) => steps.flatMap((one) => (one.step === key ? [one.milliseconds] : []))),
    ),
  );
  const onceMs = longest.reduce((sum, milliseconds) => sum + milliseconds, estimatedMs);
  const each = measured.map(({ steps, lookMs }) =>
    steps.reduce((sum, { step, milliseconds }) => (ONCE_FOR_ALL.has(step) ? sum : sum + milliseconds), lookMs),
  );
  const eachMs = makespan(each, atOnce);
  return { worstMs: onceMs + eachMs, onceMs, eachMs };
}

/** From holding the target to putting it back: what stands in between is what an outage consists of. */
function measuredOf(database: string, lane: readonly StepView[]) {
  const begin = lane.findIndex(({ key }) => key === 'hold-target');
  const end = lane.findIndex(({ key }) => key === 'undo-hold-target');
  const inside = lane.slice(begin, end);
  const look = lane.find(({ key }) => key === 'foresee-fence');
  const foreseen = Foreseen.safeParse(look?.output).data;
  if (begin < 0 || !look || !foreseen || !inside.every(({ state }) => state === 'completed')) return undefined;
  const steps = inside.map((step) => ({ step: step.key, milliseconds: spanOf(step) }));
  return { database, foreseen, steps, lookMs: spanOf(look) };
}

const medianOf = (numbers: readonly number[]): number =>
  numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)]!;

/** Of the attempt that succeeded. */
const spanOf = ({ startedAt, finishedAt }: StepView): number =>
  startedAt === undefined || finishedAt === undefined ? 0 : Math.max(0, finishedAt - startedAt);

/** How long all of them take when so many go on at once, each begun as soon as there is room. */
export function makespan(spans: readonly number[], atOnce: number): number {
  const busyUntil = Array.from({ length: Math.max(1, Math.min(atOnce, spans.length)) }, () => 0);
  for (const span of spans) {
    const next = busyUntil.indexOf(Math.min(...busyUntil));
    busyUntil[next] = busyUntil[next]! + span;
  }
  return Math.max(...busyUntil);
}

const LEFT_OUT: readonly (readonly [option: RegExp, what: string])[] = [
  [/^hooks:/, 'hooks are not run: add what your commands take between fenced and opened'],
  [
    /^pgbouncer$/,
    'PgBouncer is not switched: its clients wait as long as the outage, and for what runs until the PAUSE',
  ],
  [/^reverse$/, 'replication back to the source is not switched on'],
];

const leftOutOf = (options: RunView['options']): string[] =>
  LEFT_OUT.flatMap(([option, what]) =>
    Object.entries(options).some(([name, value]) => value === true && option.test(name)) ? [what] : [],
  );

function lateOf(databases: readonly PredictedOutage[], deadlineMs: number, togetherMs: number): string[] {
  const late = databases.filter(({ milliseconds }) => milliseconds > deadlineMs);
  const by = `deadlines.outage is ${deadlineMs} ms: past it a database is given back to the source`;
  if (late.length > 0) {
    const named = late.slice(0, 3).map(({ database }) => `"${database}"`);
    return [
      `${named.join(', ')}${late.length > 3 ? ` and ${late.length - 3} more` : ''} would not be ready in time; ${by}`,
    ];
  }
  return togetherMs > deadlineMs ? [`all databases together would not be ready in time; ${by}`] : [];
}

const metOf = (view: RunView): string[] =>
  stepsOf(view)
    .filter(({ key }) => key === 'foresee-fence')
    .flatMap(({ findings }) => findings.map(({ database, message }) => `database "${database}": ${message}`));
