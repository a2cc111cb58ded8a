import type { RunState, StepState } from '../../queue/types.ts';
import { duration, moment } from '../render/text.ts';
import type {
  ReportedApproval,
  ReportedComparison,
  ReportedCutover,
  ReportedDatabase,
  ReportedStep,
} from './report.ts';

/** How a report says what it knows. */

/** Empty where it has not happened. */
export const when = (at: number | null): string => (at === null ? '' : moment(at));

export const span = (milliseconds: number | null): string => (milliseconds === null ? '' : duration(milliseconds));

export const RUN_STATES: Readonly<Record<RunState, string>> = {
  running: 'running',
  'waiting-approval': 'waits for approval',
  'failed-steps': 'held up by failed steps',
  cancelling: 'being cancelled',
  cancelled: 'cancelled',
  completed: 'completed',
  failed: 'failed',
};

export const APPROVALS: Readonly<Record<ReportedApproval['state'], string>> = {
  approved: 'approved',
  waiting: 'waits for approval',
  pending: 'not reached',
  'not-needed': 'passed without: every database was open already',
};

export const DATABASE_STATES: Readonly<Record<ReportedDatabase['state'], string>> = {
  open: 'open on the target',
  done: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
  unfinished: 'not finished',
};

export const WAYS_BACK: Readonly<Record<NonNullable<ReportedDatabase['wayBack']>, string>> = {
  open: 'yes, since the end of this run (pgconvoy rollback goes back, pgconvoy finish ends it)',
  ended: 'no more: ended by this run',
};

const CUTOVERS: Readonly<Record<ReportedCutover['from'], string>> = {
  run: 'by this run',
  earlier: 'before this run, which found it open',
  ledger: "as the target's ledger tells",
};

export const switchedOver = ({ openedAt, from }: ReportedCutover): string =>
  openedAt === null ? 'no: it was fenced, but not opened' : CUTOVERS[from];

const STEPS: Readonly<Record<Exclude<StepState, 'completed'>, string>> = {
  pending: 'not begun',
  waiting: 'waits for a worker',
  active: 'running',
  delayed: 'will be tried again',
  failed: 'failed',
  cancelled: 'cancelled',
};

export const resultOf = ({ state, changed }: ReportedStep): string =>
  state === 'completed' ? (changed === true ? 'changed' : 'nothing changed') : STEPS[state];

export const compared = ({ method, checksum }: ReportedComparison): string =>
  method === 'checksum' ? `count and checksum (${checksum})` : method === 'count' ? 'count' : 'not compared';
