import { applies, conditionOf } from './workflow.ts';
import type { Row, RunOptions, Step, StepPolicy, Workflow } from './workflow.ts';

/** A database of the source that takes part in a run. */
export interface SelectedDatabase {
  readonly oid: number;
  readonly name: string;
}

export interface PlannedStep {
  /**
   * Unique within its lane: the operation's name, `reverse-NAME` where rows travel back, `undo-NAME` where it is taken back, numbered
   * where it comes again.
   */
  readonly key: string;
  readonly operation: string;
  readonly title: string;
  readonly queue: 'operation' | 'copy' | 'cutover';
  readonly input: unknown;
  readonly policy: StepPolicy;
}

/**
 * Rows that nothing separates: cluster rows run once, in order; database rows are the lane each database walks at its own pace;
 * a gate waits for a person. The next stage begins when this one is done everywhere, or `alongside` it.
 */
export type Stage =
  | {
      readonly kind: 'cluster' | 'database';
      readonly index: number;
      readonly title: string;
      readonly steps: readonly PlannedStep[];
      /** The next stage runs at the same time. */
      readonly alongside?: true;
    }
  | { readonly kind: 'gate'; readonly index: number; readonly title: string; readonly needlessIf?: string };

/** A step of the write outage, or one that leads to it. */
export interface OutageStep {
  readonly kind: 'cluster' | 'database';
  readonly stage: number;
  readonly step: PlannedStep;
}

/**
 * The steps of the write outage before this one, in order, and in front of them those that lead to it; undefined where this one is not
 * inside of an outage that opens anything.
 */
export function outageBefore(stages: readonly Stage[], stage: number, key: string): readonly OutageStep[] | undefined {
  const steps = stages.flatMap((each) =>
    each.kind === 'gate' ? [] : each.steps.map((step) => ({ kind: each.kind, stage: each.index, step })),
  );
  const leads = steps.findIndex(({ step }) => step.policy.leadsToOutage);
  const first = steps.findIndex(({ step }) => step.policy.startsOutage);
  const last = steps.findIndex(({ step }) => step.policy.endsOutage);
  const at = steps.findIndex((each) => each.stage === stage && each.step.key === key);
  if (first < 0 || at < first || at > last) return undefined;
  const begin = leads < 0 ? first : Math.min(leads, first);
  return steps.slice(begin, at);
}

export interface Plan {
  readonly workflow: string;
  readonly title: string;
  readonly databases: readonly SelectedDatabase[];
  readonly stages: readonly Stage[];
}

/** Turns a workflow and a selection into what a run will do. Pure: reads no clock, no server, no configuration. */
export function planOf(workflow: Workflow, databases: readonly SelectedDatabase[], options: RunOptions = {}): Plan {
  return { workflow: workflow.name, title: workflow.title, databases, stages: stagesOf(workflow.rows, options) };
}

/** Stages that run at the same time, together; else each alone. */
export function concurrentStages(stages: readonly Stage[]): readonly (readonly Stage[])[] {
  const groups: Stage[][] = [];
  let joins = false;
  for (const stage of stages) {
    if (joins) groups.at(-1)!.push(stage);
    else groups.push([stage]);
    joins = stage.kind !== 'gate' && stage.alongside === true;
  }
  return groups;
}

/** Cuts rows into stages: at barriers and approvals, behind what runs alongside, and where cluster rows and database rows meet. */
export function stagesOf(rows: readonly Row[], options: RunOptions = {}): readonly Stage[] {
  const stages: Stage[] = [];
  let open: { kind: Step['kind']; steps: Step[] } | undefined;
  const close = (title?: string) => {
    if (open) {
      stages.push({
        kind: open.kind,
        index: stages.length,
        title: title === undefined ? titleOf(open.steps.at(-1)!, options) : inDirection(title, options),
        steps: plannedSteps(open.steps, options),
        ...(open.steps.at(-1)!.policy.alongside ? { alongside: true as const } : {}),
      });
    }
    open = undefined;
  };
  for (const row of rows.filter((each) => applies(conditionOf(each), options))) {
    if ('operation' in row) {
      if (open && open.kind !== row.kind) close();
      open ??= { kind: row.kind, steps: [] };
      open.steps.push(row);
      if (row.policy.alongside) close();
    } else if (row.kind === 'barrier') close(row.title);
    else {
      close();
      stages.push({
        kind: 'gate',
        index: stages.length,
        title: row.title,
        ...(row.needlessIf === undefined ? {} : { needlessIf: row.needlessIf }),
      });
    }
  }
  close();
  return stages;
}

/** Titles speak of source and target as the rows see them; whoever reads them means the two of the configuration. */
function inDirection(title: string, options: RunOptions, reversed = false): string {
  if ((options['back'] === true) === reversed) return title;
  return title.replaceAll(/\b(source|target)\b/g, (word) => (word === 'source' ? 'target' : 'source'));
}

function titleOf({ operation, policy }: Step, options: RunOptions): string {
  const own = inDirection(policy.title ?? operation.title, options, policy.reversed);
  const title = policy.reversed ? `On the way back: ${own}` : own;
  return policy.direction === 'undo' ? `Taken back: ${title}` : title;
}

function keyOf({ operation, policy }: Step): string {
  const name = policy.reversed ? `reverse-${operation.name}` : operation.name;
  return policy.direction === 'undo' ? `undo-${name}` : name;
}

function plannedSteps(steps: readonly Step[], options: RunOptions): readonly PlannedStep[] {
  const seen = new Map<string, number>();
  return steps.map((step) => {
    const name = keyOf(step);
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return {
      key: count === 1 ? name : `${name}-${count}`,
      operation: step.operation.name,
      title: titleOf(step, options),
      queue: step.operation.queue ?? 'operation',
      input: step.input,
      policy: step.policy,
    };
  });
}
