import type { Settings } from '../../config/schema.ts';
import type { Finding } from '../../engine/finding.ts';
import type { Point } from '../../engine/point.ts';
import type { RunOptions } from '../../engine/workflow.ts';
import type { Prediction } from '../rehearsal/prediction.ts';
import type { Approval, RunState, StepError, StepState } from '../../queue/types.ts';

/**
 * A run to be signed off, as `pgconvoy report --format json` writes it; docs/report.md tells each key. Keys are only ever added. Times
 * are milliseconds since 1970 (the queue's clock) where they are numbers, and by the source's clock where they are texts.
 */
export interface Report {
  readonly written: { readonly at: number; readonly by: string; readonly version: string };
  readonly run: {
    readonly id: string;
    readonly workflow: string;
    readonly title: string;
    readonly state: RunState;
    readonly by: string;
    readonly version: string;
    readonly options: RunOptions;
    readonly createdAt: number;
    readonly startedAt: number | null;
    readonly finishedAt: number | null;
    readonly cancelled: Approval | null;
    readonly undoneBy: string | null;
    readonly undoes: string | null;
    readonly error: StepError | null;
  };
  readonly approvals: readonly ReportedApproval[];
  readonly engine: string | null;
  readonly servers: { readonly source: ReportedServer; readonly target: ReportedServer };
  /** As the run's check has seen them. */
  readonly clientTools: string | null;
  readonly configuration: Settings;
  readonly checks: readonly (Point & { readonly state: 'OK' | 'KO' | 'note' })[];
  readonly findings: readonly Finding[];
  readonly waivers: readonly ReportedWaiver[];
  /** Commands of the operator. */
  readonly hooks: readonly ReportedHook[];
  readonly outage: ReportedOutage | null;
  /** Of a rehearsal. */
  readonly prediction: Prediction | null;
  /** Of a cutover: what the rehearsal before it has predicted. */
  readonly rehearsal: ReportedRehearsal | null;
  readonly stages: readonly ReportedStage[];
  /** Steps of the cluster, in their order. */
  readonly cluster: readonly ReportedStep[];
  readonly databases: readonly ReportedDatabase[];
}

export interface ReportedWaiver {
  /** The code of a finding, or what is left behind by `notReplicated`. */
  readonly waived: string;
  /** Null: in all databases. */
  readonly database: string | null;
  readonly reason: string | null;
  /** How many findings of this run it let pass; null where there are no findings of it. */
  readonly met: number | null;
}

export interface ReportedHook {
  /** The moment of the cutover. */
  readonly at: string;
  /** Null: once for all databases of the run. */
  readonly database: string | null;
  readonly program: string;
  readonly milliseconds: number;
  readonly attempts: number;
  readonly failure: string | null;
}

export interface ReportedRehearsal {
  readonly run: string;
  readonly finishedAt: number | null;
  readonly databases: readonly {
    readonly database: string;
    readonly predictedMs: number;
    readonly outageMs: number;
  }[];
}

export interface ReportedApproval {
  readonly stage: number;
  readonly title: string;
  readonly state: 'approved' | 'waiting' | 'pending' | 'not-needed';
  readonly by: string | null;
  readonly at: number | null;
}

export interface ReportedServer {
  readonly address: string;
  readonly user: string;
  /** As the run's check has seen it. */
  readonly recorded: string | null;
  /** Its version when the report was written. */
  readonly version: string | null;
  readonly unreachable: string | null;
  /** What its ledger holds when the report is written, by kind; null where it could not be asked. */
  readonly ledger: Readonly<Record<string, number>> | null;
}

interface ReportedOutage {
  readonly databases: number;
  readonly medianMs: number;
  readonly worst: { readonly database: string; readonly milliseconds: number };
}

export interface ReportedStage {
  readonly index: number;
  readonly kind: 'cluster' | 'database' | 'gate';
  readonly title: string;
  readonly state: 'pending' | 'running' | 'waiting-approval' | 'completed';
  readonly startedAt: number | null;
  readonly milliseconds: number | null;
}

export interface ReportedStep {
  readonly stage: number;
  readonly key: string;
  readonly title: string;
  readonly state: StepState;
  readonly changed: boolean | null;
  readonly attempts: number;
  /** From the first start to the end. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly milliseconds: number | null;
  readonly worker: string | null;
  readonly error: StepError | null;
  /** What its log tells of attempts that did not succeed, the last ones. */
  readonly troubles: readonly { readonly at: number; readonly text: string }[];
  /** Done once more behind another fence, since its databases had been given back: by which step, and what came of it. */
  readonly again: {
    readonly within: string;
    readonly changed: boolean;
    readonly startedAt: number;
    readonly milliseconds: number;
  } | null;
}

export interface ReportedDatabase {
  readonly name: string;
  readonly oid: number;
  readonly state: 'open' | 'done' | 'failed' | 'cancelled' | 'unfinished';
  readonly steps: readonly ReportedStep[];
  readonly objects: ReportedObjects;
  readonly cutover: ReportedCutover | null;
  /** Whether this run has let rows travel back from where applications write now, or ended that; null: neither. */
  readonly wayBack: 'open' | 'ended' | null;
  readonly sequences: ReportedSequences | null;
  readonly comparison: ReportedComparison | null;
}

/** Counted by the steps of this run; null where it had no such step, or has not come so far. */
interface ReportedObjects {
  readonly schema: number | null;
  readonly indexes: number | null;
  readonly tables: number | null;
  readonly triggers: number | null;
  readonly materializedViews: number | null;
  readonly unloggedTables: number | null;
  readonly largeObjects: number | null;
  /** Tables and sequences of extensions that may hold what is the users'. */
  readonly extensionTables: number | null;
}

export interface ReportedCutover {
  /** `run`: by this run; `earlier`: the run found it open; `ledger`: only the target's ledger tells it. */
  readonly from: 'run' | 'earlier' | 'ledger';
  /** Up to here the target has everything the source ever acknowledged. */
  readonly lsn: string;
  readonly fencedAt: string;
  readonly openedAt: string | null;
  readonly outageMs: number | null;
  /** Superusers whose sessions the fence has ended: it does not keep them out. */
  readonly superusers: readonly string[];
  /** How often this run has begun its outage: more than once where it was given back; all else here is of the last time. */
  readonly passes: number;
}

export interface ReportedSequences {
  readonly total: number;
  /** How many did not stand where the source's stood. */
  readonly changed: number;
  /** The first of them; `before` on the target, null where it was not there. */
  readonly listed: readonly {
    readonly sequence: string;
    readonly before: SequencePosition | null;
    readonly after: SequencePosition;
  }[];
}

/** `last` as text: it may go beyond what a number holds. */
interface SequencePosition {
  readonly last: string;
  readonly called: boolean;
}

export interface ReportedComparison {
  readonly method: 'checksum' | 'count' | 'none';
  readonly checksum: 'hash' | 'md5' | 'none';
  readonly tables: number;
  readonly rows: number;
  /** Tables among them that are not the same, and with `left` those that were not compared. */
  readonly differing: number;
  readonly left: number;
  readonly differences: readonly { readonly table: string; readonly what: string }[];
  /** The largest of them, as the source has them. */
  readonly listed: readonly { readonly table: string; readonly rows: number; readonly sum: string | null }[];
}
