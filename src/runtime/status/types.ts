import type { Side } from '../../postgres/cluster.ts';
import type { SubscriptionOverview } from '../../replication/engine.ts';
import type { Failure } from '../../operations/replication/apply-errors.ts';
import type { TableCounts } from '../../replication/table-counts.ts';

/**
 * - `down`: it should replicate and does not; `reason` says why
 * - `missing`: there is a slot on the source and no subscription on the target
 * - `disabled`: the subscription is not started yet, or was stopped
 * - `initializing`: tables are being copied
 * - `replicating`: the target applies what the source sends
 * - `set-up`: setup has begun with it, start has not
 * - `not-set-up`: nothing of ours is there
 * - `switched-over`: applications use it on the target
 */
type ReplicationStateName =
  | 'down'
  | 'missing'
  | 'disabled'
  | 'initializing'
  | 'replicating'
  | 'set-up'
  | 'not-set-up'
  | 'switched-over';

/** How far setup and start have come with one database, on either side. */
export interface DatabaseSetup {
  readonly source: {
    readonly exists: boolean;
    /** Its tables are published; undefined where nobody has looked, since a slot of ours comes after that. */
    readonly published?: boolean;
    readonly slot: boolean;
    /** Nobody can write to it. */
    readonly fenced: boolean;
  };
  readonly target: {
    readonly exists: boolean;
    /** Made or taken by setup. */
    readonly ours: boolean;
    /** `begun`: tables without their indexes, or a part of them. */
    readonly schema: 'nothing' | 'begun' | 'complete';
    readonly subscription: boolean;
    /** Applications use it. */
    readonly opened: boolean;
  };
}

/** Where one database stands right now. */
export interface DatabaseStatus {
  readonly database: string;
  readonly state: ReplicationStateName;
  readonly reason?: string;
  readonly setup: DatabaseSetup;
  /** Of a database that is being copied. */
  readonly tables?: TableCounts;
  /** WAL that the target has not confirmed, of all databases of the source, bytes; once it is switched over, in the other direction. */
  readonly lagBytes?: number;
  /** At most so old is what it has not confirmed, seconds: see `secondsBehind`. */
  readonly lagSeconds?: number;
  /** What the slot makes the source keep; once it is switched over, what the way back makes the target keep. */
  readonly slot?: {
    readonly active: boolean;
    readonly walStatus?: string;
    readonly retainedBytes: number;
    /** Up to where the other side has confirmed, as a position in the WAL, bytes. */
    readonly confirmedTo?: number;
    /** WAL that may still be written before the server removes what the slot needs, bytes. */
    readonly safeBytes?: number;
  };
  /** How often its workers have failed, where that is counted (15 and later), and at which conflicts (18). */
  readonly errors?: NonNullable<SubscriptionOverview['errors']>;
  /** What the worker that applies has said last, while it fails; or why the log that has it cannot be read. */
  readonly failure?: Failure;
}

export interface ServerStatus {
  readonly address: string;
  /** Undefined where it cannot be asked. */
  readonly version?: string;
}

export interface ClusterStatus {
  readonly configuration: {
    /** Undefined where the source decides and cannot be asked. */
    readonly engine?: string;
    /** The replication role, and whether it is there as setup makes it. */
    readonly role: { readonly name: string; readonly ready?: boolean };
    readonly source: ServerStatus;
    readonly target: ServerStatus;
  };
  /** By name: every database that takes part, or of which something of ours is there. */
  readonly databases: readonly DatabaseStatus[];
  /** Sides that could not be asked, with why; the rest is what the other one knows. */
  readonly unreachable: readonly { readonly side: Side; readonly message: string }[];
}
