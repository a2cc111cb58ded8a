import type { Plan, PlannedStep, Stage } from '../../engine/plan.ts';
import type { Style } from './style.ts';
import { clipMiddle, columns, plural, visible, widthOf, wrap } from './text.ts';

/** A database that a run leaves alone, and why. */
interface LeftOut {
  readonly name: string;
  readonly reason: string;
}

/** What a run would do: which databases travel and which stay, then every stage with its steps, in order. */
export function renderPlan(
  plan: Plan & { readonly engine: string },
  leftOut: readonly LeftOut[],
  style: Style,
  width: number,
): string {
  return [
    `${style.bold(`${plan.workflow}: ${plan.title}`)} ${style.dim(`(engine: ${plan.engine})`)}`,
    '',
    ...databases(plan, style, width),
    ...(leftOut.length > 0 ? ['', ...left(leftOut, style, width)] : []),
    '',
    ...plan.stages.flatMap((stage) => [...renderStage(stage, plan, style), '']),
    totals(plan),
  ].join('\n');
}

function databases(plan: Plan, style: Style, width: number): string[] {
  if (plan.databases.length === 0) return [style.yellow('No database is selected.')];
  const names = plan.databases.map((database) => clipMiddle(visible(database.name), width - 2));
  return [style.bold(plural(plan.databases.length, 'database')), ...grid(names, width)];
}

function left(leftOut: readonly LeftOut[], style: Style, width: number): string[] {
  const lines = leftOutLines(leftOut, Infinity).map((line) => wrap(line, width - 4, '    ').slice(2));
  return [style.bold(`${plural(leftOut.length, 'database')} left out`), ...lines];
}

/** One line for each reason: `a, b and 97 more: not among the databases to include`. */
export function leftOutLines(leftOut: readonly LeftOut[], most: number): string[] {
  const reasons = new Map<string, string[]>();
  for (const { name, reason } of leftOut) reasons.set(reason, [...(reasons.get(reason) ?? []), visible(name)]);
  return [...reasons].map(([reason, names]) => {
    const more = names.length > most ? ` and ${names.length - most} more` : '';
    return `${names.slice(0, most).join(', ')}${more}: ${reason}`;
  });
}

/** Names side by side, as many as fit; order runs down the columns as in `ls`. */
function grid(names: readonly string[], width: number): string[] {
  const widest = Math.max(...names.map(widthOf));
  const across = Math.max(1, Math.floor(width / (widest + 2)));
  const down = Math.ceil(names.length / across);
  const rows = Array.from({ length: down }, (_, row) => names.filter((_name, index) => index % down === row));
  return columns(rows).map((line) => `  ${line}`);
}

function renderStage(stage: Stage, plan: Plan, style: Style): string[] {
  const number = `${stage.index + 1}.`;
  if (stage.kind === 'gate') return [style.bold(style.yellow(`${number} Approval: ${stage.title}`))];
  const where = stage.kind === 'cluster' ? 'once' : `in each of ${plural(plan.databases.length, 'database')}`;
  const when = stage.alongside ? `, at the same time as ${stage.index + 2}` : '';
  return [
    `${style.bold(`${number} ${stage.title}`)} ${style.dim(`(${where}${when})`)}`,
    ...columns(stage.steps.map((step) => [`   ${step.key}`, style.dim(remark(step))])),
  ];
}

/** The title says what holds afterwards; of a step taken back, what no longer does. */
const remark = (step: PlannedStep): string =>
  step.policy.direction === 'undo'
    ? `taken back: ${step.title}`
    : `${step.title}${step.policy.findings === 'block' ? ' (or the run stops here)' : ''}`;

function totals(plan: Plan): string {
  let jobs = 0;
  for (const stage of plan.stages) {
    if (stage.kind !== 'gate') jobs += stage.steps.length * (stage.kind === 'database' ? plan.databases.length : 1);
  }
  const gates = plan.stages.filter((stage) => stage.kind === 'gate').length;
  return `${plural(plan.stages.length, 'stage')}, ${plural(jobs, 'step')}${gates > 0 ? `, ${plural(gates, 'approval')}` : ''}. Nothing was changed.`;
}
