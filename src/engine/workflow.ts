import type * as z from 'zod';
import type { AnyOperation, Operation } from './operation.ts';

/** What a run was told when it was started; data of the run from then on. Numbers are milliseconds. */
export type RunOptions = Readonly<Record<string, boolean | number>>;

/** On which options of a run a row depends; a row that is left out makes no job. */
export interface Condition {
  /** Only in runs that have this option, or all of these. */
  readonly when?: string | readonly string[];
  /** Only in runs that do not have it, or none of these. */
  readonly unless?: string | readonly string[];
}

export interface StepPolicy extends Condition {
  /** In place of the operation's own, where several rows have the same operation. */
  readonly title?: string;
  /** How often BullMQ tries the job before it counts as failed. Default 5. */
  readonly attempts?: number;
  /** For preflight checks: `report` (default) lets the run go on, `block` fails the step on a blocking finding. */
  readonly findings?: 'report' | 'block';
  /** `undo` takes the operation back instead of making it so. */
  readonly direction?: 'apply' | 'undo';
  /** Lanes that have passed this row are served before lanes that have not: short outages instead of many at once. */
  readonly startsOutage?: boolean;
  /**
   * Applications are let in on the other side. What fails for good between the row with `startsOutage` and this one gives the databases
   * back, and is tried again from there on.
   */
  readonly endsOutage?: boolean;
  /** Ahead of the outage: where that begins anew, because databases were given back, it does so from this row on. */
  readonly leadsToOutage?: boolean;
  /** Its turn comes when no other step waits: for what does not have to be soon. */
  readonly yields?: boolean;
  /** The operation sees the new cluster as its source and the old one as its target: rows that travel back. */
  readonly reversed?: boolean;
  /** The stage that ends with this row does not hold up the next one: both run at the same time, and what is behind waits for both. */
  readonly alongside?: boolean;
  /** The source goes on meanwhile: what differs again after the step has done its work is neither a failure nor a finding. */
  readonly moving?: boolean;
}

export interface Step {
  readonly kind: 'cluster' | 'database';
  readonly operation: AnyOperation;
  readonly input: unknown;
  readonly policy: StepPolicy;
}
export interface Barrier extends Condition {
  readonly kind: 'barrier' | 'approval';
  readonly title: string;
  /** Of an approval: needless where each database's last step before it has observed this in its output. */
  readonly needlessIf?: string;
}
export type Row = Step | Barrier;

/** The input may be left out only where every field of it has a default. */
type StepArguments<I> = {} extends I ? [input?: I, policy?: StepPolicy] : [input: I, policy?: StepPolicy];

const step =
  (kind: Step['kind']) =>
  <I extends z.ZodType>(operation: Operation<I, any, any>, ...[input, policy]: StepArguments<z.input<I>>): Step => {
    if (operation.scope !== kind) throw new TypeError(`${operation.name} is an operation of scope ${operation.scope}`);
    return { kind, operation, input: operation.input.parse(input ?? {}), policy: policy ?? {} };
  };

/** Runs once for the whole cluster. */
export const cluster = step('cluster');
/** Fans out: one job per database. Consecutive rows form a lane each database walks at its own pace. */
export const eachDatabase = step('database');
/** All lanes meet here before anyone goes on. */
export const barrier = (title: string, condition: Condition = {}): Barrier => ({
  kind: 'barrier',
  title,
  ...condition,
});
/**
 * A barrier that also waits for a person: `pgconvoy approve RUN`. `needlessIf` names what makes it needless for a database: the
 * field of that name is true in the output of the step before it.
 */
export const approval = (title: string, needlessIf?: string): Barrier => ({
  kind: 'approval',
  title,
  ...(needlessIf === undefined ? {} : { needlessIf }),
});
/** Takes an operation back: the same row with `undo` instead of `apply`. */
export const undo = (row: Step): Step => {
  if (!row.operation.undo) throw new TypeError(`${row.operation.name} has no undo`);
  return { ...row, policy: { ...row.policy, direction: 'undo' } };
};

/** The option of runs with a command of the operator for this moment of the cutover. */
export const hookOption = (at: string): string => `hooks:${at}`;

/** Whether a row takes part in runs with these options. */
export const applies = (condition: Condition, options: RunOptions): boolean =>
  [condition.when ?? []].flat().every((name) => options[name] === true) &&
  [condition.unless ?? []].flat().every((name) => options[name] !== true);

export interface Workflow {
  readonly name: string;
  readonly title: string;
  readonly rows: readonly Row[];
  /** What every run of it is told; `back`: the new cluster is the source of its rows, the old one their target. */
  readonly options?: RunOptions;
  /** Rows that run when the run is cancelled in the middle, e.g. taking the fence down. */
  readonly onCancel?: readonly Row[];
}
export const defineWorkflow = (workflow: Workflow): Workflow => workflow;

/** The condition of a row, wherever it is kept. */
export const conditionOf = (row: Row): Condition => ('operation' in row ? row.policy : row);

/** The options of a run that decide which rows of this workflow take part. */
export const optionsOf = ({ rows, onCancel = [] }: Workflow): ReadonlySet<string> =>
  new Set([...rows, ...onCancel].map(conditionOf).flatMap(({ when, unless }) => [when ?? [], unless ?? []].flat()));
