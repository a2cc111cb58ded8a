import type { BoundCluster } from '../postgres/cluster.ts';
import type { Database } from '../postgres/database.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Where one table is on its way. */
export interface TableState extends TableName {
  readonly state: 'waiting' | 'copying' | 'catching-up' | 'streaming';
}

export interface SubscriptionState {
  readonly exists: boolean;
  readonly enabled: boolean;
  /** The apply worker runs on the target. */
  readonly running: boolean;
  readonly tables: readonly TableState[];
}

/** Both ends of one database, as the engine needs them. */
export interface Pair {
  readonly source: Database;
  readonly target: Database;
  readonly sourceCluster: BoundCluster;
  readonly targetCluster: BoundCluster;
  /** The connection string by which the target reaches the source's database; holds the replication role's password. */
  readonly conninfo: () => Promise<string>;
}

/**
 * How rows travel. Each method is idempotent and looks before it acts; which one is missing is seen by the operation's check.
 * The native engine: publications, slots and subscriptions of PostgreSQL 10 and later.
 */
export interface ReplicationEngine {
  readonly name: 'native';

  /** Tables now in our publication. */
  publishedTables(pair: Pair): Promise<readonly TableName[]>;
  /** The publication holds exactly these tables afterwards. */
  publish(pair: Pair, tables: readonly TableName[], lockTimeoutMs: number): Promise<void>;
  unpublish(pair: Pair): Promise<void>;

  slotExists(pair: Pair): Promise<boolean>;
  /** Waits for running write transactions; the time is limited by the caller's statement timeout. */
  createSlot(pair: Pair, timeoutMs: number): Promise<void>;
  dropSlot(pair: Pair): Promise<void>;

  subscription(pair: Pair): Promise<SubscriptionState>;
  /** Creates the subscription on the existing slot, disabled: `enable` starts the copy. */
  createSubscription(pair: Pair): Promise<void>;
  enable(pair: Pair): Promise<void>;
  disable(pair: Pair): Promise<void>;
  /** Drops the subscription and leaves the slot to `dropSlot`, so that an unreachable source does not stop it. */
  dropSubscription(pair: Pair): Promise<void>;

  /** Everything up to this LSN of the source has been applied and flushed on the target. */
  reached(pair: Pair, lsn: string): Promise<boolean>;
}
