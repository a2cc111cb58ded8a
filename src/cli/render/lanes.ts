import type { StageView, StepView } from '../../queue/types.ts';
import { copyTotals, etaOf, lanesOf } from '../run-facts.ts';
import type { Lane } from '../run-facts.ts';
import { inTime } from './problems.ts';
import type { Style } from './style.ts';
import {
  bar,
  bytes,
  clip,
  clipMiddle,
  duration,
  integer,
  padEnd,
  padStart,
  percent,
  plural,
  visible,
  widthOf,
} from './text.ts';

interface StageRendering {
  readonly style: Style;
  readonly now: number;
  readonly width: number;
}

/** Rows of databases shown when nothing limits the height; of more, only those in which something happens. */
const ROWS = 40;
interface LaneRow {
  readonly symbol: string;
  readonly name: string;
  readonly step: string;
  readonly place: string;
  readonly detail: string;
}

/** Where every database of a stage stands, or every step of a cluster stage, in at most so many lines. */
export function renderStage(stage: StageView, rendering: StageRendering, room: number): string[] {
  const limit = Math.min(room, ROWS);
  const [all, shown] =
    stage.kind === 'cluster'
      ? choose(
          stage.steps.map((step) => clusterRow(step, rendering)),
          limit,
        )
      : chooseLanes(lanesOf(stage), limit, rendering);
  const lines = layout(shown, rendering);
  const hidden = all - shown.length;
  if (hidden > 0)
    lines.push(
      rendering.style.dim(`  and ${plural(hidden, stage.kind === 'cluster' ? 'more step' : 'more database')}`),
    );
  return lines;
}

const choose = (drawn: readonly LaneRow[], limit: number): [number, readonly LaneRow[]] => [
  drawn.length,
  drawn.length <= limit ? drawn : drawn.slice(0, Math.max(1, limit - 1)),
];

/** All, where they fit; else those that need an operator's eye. The order among equals never changes, so rows do not jump. */
function chooseLanes(lanes: readonly Lane[], limit: number, rendering: StageRendering): [number, readonly LaneRow[]] {
  if (lanes.length <= limit) return [lanes.length, lanes.map((lane) => laneRow(lane, rendering))];
  const busy = (['failed', 'delayed', 'active'] as const).flatMap((state) =>
    lanes.filter((lane) => lane.state === state),
  );
  return [lanes.length, busy.slice(0, Math.max(1, limit - 1)).map((lane) => laneRow(lane, rendering))];
}

/** Names and steps get what they need, within reason; what is happening gets the rest. No row is wider than the screen. */
function layout(drawn: readonly LaneRow[], { width, style }: StageRendering): string[] {
  const most = (of: (row: LaneRow) => string) => drawn.reduce((widest, row) => Math.max(widest, widthOf(of(row))), 0);
  const nameWidth = Math.min(
    Math.max(10, Math.floor(width * 0.3)),
    most((row) => row.name),
  );
  const placeWidth = most((row) => row.place);
  const stepWidth = Math.min(
    26,
    most((row) => row.step),
  );
  return drawn.map((row) => {
    const parts = [padEnd(clipMiddle(row.name, nameWidth), nameWidth)];
    if (placeWidth > 0) parts.push(padStart(row.place, placeWidth));
    if (stepWidth > 0) parts.push(padEnd(clip(row.step, stepWidth), stepWidth));
    const left = parts.join('  ');
    const room = width - widthOf(left) - 6;
    const detail = row.detail === '' || room < 8 ? '' : `  ${style.dim(clip(row.detail, room))}`;
    return `  ${row.symbol} ${detail === '' ? left.trimEnd() : left}${detail}`;
  });
}

function laneRow(lane: Lane, rendering: StageRendering): LaneRow {
  return {
    symbol: symbolOf(lane.state, rendering.style),
    name: visible(lane.database ?? 'cluster'),
    place: `${lane.done}/${lane.steps.length}`,
    step: lane.current?.key ?? '',
    detail: lane.current ? detailOf(lane.current, rendering.now) : '',
  };
}

function clusterRow(step: StepView, rendering: StageRendering): LaneRow {
  const state = step.state === 'completed' ? 'done' : step.state === 'pending' ? 'waiting' : step.state;
  return {
    symbol: symbolOf(state, rendering.style),
    name: step.key,
    place: '',
    step: '',
    detail: detailOf(step, rendering.now),
  };
}

function symbolOf(state: Lane['state'], style: Style): string {
  switch (state) {
    case 'done':
      return style.green('✓');
    case 'active':
      return style.cyan('▸');
    case 'failed':
      return style.red('✗');
    case 'delayed':
      return style.yellow('!');
    case 'cancelled':
      return style.dim('-');
    case 'waiting':
      return style.dim('·');
    default:
      return state satisfies never;
  }
}

function detailOf(step: StepView, now: number): string {
  switch (step.state) {
    case 'active': {
      const elapsed = step.startedAt === undefined ? 0 : now - step.startedAt;
      return step.progress ? progressOf(step.progress, elapsed) : elapsed >= 1_000 ? duration(elapsed) : '';
    }
    // Their causes stand above, among the problems.
    case 'delayed':
      return `tries again ${inTime(step.retryAt, now)}`;
    case 'failed':
      return 'failed';
    case 'completed':
      return step.changed === false ? 'already held' : '';
    case 'waiting':
      return step.queue === 'copy' ? 'waits for a place in the copy budget' : 'waits for a worker';
    default:
      return '';
  }
}

/** `████░░░░  54% 1.2 GB of 2.3 GB, 1,234,567 rows, 3m 05s left, public.orders`. */
function progressOf(progress: NonNullable<StepView['progress']>, elapsedMs: number): string {
  const { done, total, unit, rows: copied, note } = progress;
  const amount =
    unit === 'bytes'
      ? `${bytes(done)} of ${bytes(total)}`
      : unit === 'milliseconds'
        ? `${duration(done)} of at most ${duration(total)}`
        : `${integer(done)} of ${integer(total)} ${unit ?? ''}`.trimEnd();
  const eta = unit === 'bytes' ? etaOf(done, total, elapsedMs) : undefined;
  const parts = [
    amount,
    ...(eta === undefined ? [] : [`${duration(eta)} left`]),
    ...(copied === undefined ? [] : [`${integer(copied)} rows`]),
    ...(note === undefined || note === '' ? [] : [visible(note)]),
  ];
  const share = unit === 'milliseconds' ? '' : `${bar(done, total, 8)} ${percent(done, total).padStart(4)} `;
  return `${share}${parts.join(', ')}`;
}

/** `5 of 12 databases done, 4 active, 1 failed`, and where rows travel `copied 1.2 GB of 4.0 GB (30%), 1,234,567 rows, 3m 05s left`. */
export function stageLines(stage: StageView, now: number): string[] {
  const lanes = lanesOf(stage);
  const count = (state: Lane['state']) => lanes.filter((lane) => lane.state === state).length;
  const parts: string[] = [];
  if (stage.kind === 'cluster') {
    const [lane] = lanes;
    parts.push(`${lane?.done ?? 0} of ${plural(lane?.steps.length ?? 0, 'step')} done`);
    if (lane?.current) parts.push(`${lane.current.key} ${lane.current.state}`);
  } else {
    parts.push(`${integer(count('done'))} of ${plural(lanes.length, 'database')} done`);
    for (const state of ['active', 'waiting', 'delayed', 'failed', 'cancelled'] as const) {
      const databases = count(state);
      if (databases > 0) parts.push(`${integer(databases)} ${state}`);
    }
  }
  const copied = copyTotals(stage, now);
  if (!copied) return [parts.join(', ')];
  const amounts = [
    `copied ${bytes(copied.done)} of ${bytes(copied.total)} (${percent(copied.done, copied.total)})`,
    ...(copied.rows > 0 ? [`${integer(copied.rows)} rows`] : []),
    ...(copied.eta === undefined ? [] : [`${duration(copied.eta)} left`]),
  ];
  return [parts.join(', '), amounts.join(', ')];
}
