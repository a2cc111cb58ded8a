import type { BoundCluster } from '../postgres/cluster.ts';
import type { Database } from '../postgres/database.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Where one table is on its way. */
interface TableState extends TableName {
  readonly state: 'waiting' | 'copying' | 'catching-up' | 'streaming';
  /** How much of a table in the state `copying` has arrived. */
  readonly bytes: number;
  readonly rows: number;
}

export interface SlotState {
  /** Whole and usable: a slot that is still being created does not exist yet. */
  readonly exists: boolean;
  /** Why the slot can never be read again, in the server's words: then only a new copy helps. */
  readonly lost: string | undefined;
  /** WAL of the source that the target has not confirmed yet, bytes. */
  readonly lagBytes: number;
}

export interface SubscriptionState {
  readonly exists: boolean;
  readonly enabled: boolean;
  /** The apply worker runs on the target. */
  readonly running: boolean;
  /** What it applies is flushed and confirmed at once. */
  readonly confirmsAtOnce: boolean;
  /** How often workers of this subscription failed, where the target counts it (15 and later). */
  readonly errors: number | undefined;
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
  /** By what a row is recognised, beside a primary key or an index chosen as replica identity: by the whole row too. */
  readonly identities: { readonly full: boolean };

  /** Tables now in our publication; undefined where there is no publication. */
  publishedTables(pair: Pair): Promise<readonly TableName[] | undefined>;
  /** The publication holds exactly these tables afterwards. */
  publish(pair: Pair, tables: readonly TableName[], lockTimeoutMs: number): Promise<void>;
  /** Each `undo` says whether there was anything to take back. */
  unpublish(pair: Pair): Promise<boolean>;

  slot(pair: Pair): Promise<SlotState>;
  /**
   * Waits until the write transactions that run now have ended.
   * @throws DeadlineExceeded (`wait`) that names them when they do not end in time.
   */
  createSlot(pair: Pair, timeoutMs: number): Promise<void>;
  dropSlot(pair: Pair): Promise<boolean>;

  subscription(pair: Pair): Promise<SubscriptionState>;
  /** Creates the subscription on the existing slot, disabled: `enable` starts the copy. */
  createSubscription(pair: Pair): Promise<void>;
  enable(pair: Pair): Promise<void>;
  /** Takes in what was added to the publication since; copies those tables. */
  refresh(pair: Pair): Promise<void>;
  disable(pair: Pair): Promise<void>;
  /** Drops the subscription and leaves the slot to `dropSlot`, so that an unreachable source does not stop it. */
  dropSubscription(pair: Pair): Promise<boolean>;

  /** From now on each commit is flushed and confirmed at once: what a fence waits for comes in milliseconds. */
  confirmAtOnce(pair: Pair): Promise<void>;
  /** Everything up to this LSN of the source has been applied and flushed on the target. */
  reached(pair: Pair, lsn: string): Promise<boolean>;
}
