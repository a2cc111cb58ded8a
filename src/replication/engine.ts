import type { BoundCluster } from '../postgres/cluster.ts';
import type { Database } from '../postgres/database.ts';
import type { ExportedSnapshot } from '../postgres/replication-session.ts';
import type { Positions } from './origins.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Where one table is on its way. */
export interface TableState extends TableName {
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
  /** What the target has confirmed: of a slot that nobody has read yet, where it begins. */
  readonly confirmedLsn: string | undefined;
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
  /** The copy was broken off and does not go on by itself: `wake` begins it again. */
  readonly broken?: boolean;
  readonly tables: readonly TableState[];
}

/** What a subscription is doing, as far as it can be told without entering its database. */
export interface SubscriptionOverview {
  readonly database: string;
  readonly enabled: boolean;
  /** The apply worker runs. */
  readonly applying: boolean;
  /** Sessions that copy tables right now. */
  readonly copying: number;
  /** How often its workers have failed, where the target counts it. */
  readonly errors?: {
    readonly applying: number;
    readonly copying: number;
    /** Kinds of conflicts with rows of the target, where it counts them. */
    readonly conflicts: Readonly<Record<string, number>>;
  };
}

export type EngineName = 'native' | 'pglogical';

export interface HeldSnapshot extends ExportedSnapshot, AsyncDisposable {}

/** Both ends of one database, as the engine needs them. */
export interface Pair {
  readonly source: Database;
  readonly target: Database;
  readonly sourceCluster: BoundCluster;
  readonly targetCluster: BoundCluster;
  /** The connection string by which the target reaches the source's database; holds the replication role's password. */
  readonly conninfo: () => Promise<string>;
  /** The one by which the target reaches its own database; holds the password too. */
  readonly targetConninfo: () => Promise<string>;
  /** The replication role. */
  readonly role: string;
}

/** What is waited for: everything up to this LSN of the source. */
export interface Waiting {
  readonly pair: Pair;
  readonly lsn: string;
}

/**
 * How rows travel. Each method is idempotent and looks before it acts; which one is missing is seen by the operation's check.
 * - `native`: publications, slots and subscriptions of PostgreSQL 10 and later
 * - `pglogical`: replication sets, slots and subscriptions of that extension, PostgreSQL 9.4 and later
 */
export interface ReplicationEngine {
  readonly name: EngineName;
  /** The library on the source that decodes its WAL. */
  readonly outputPlugin: string;
  /** Its workers log in to the target too, as the replication role. */
  readonly logsInToTarget: boolean;
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
  /**
   * The same, and what the tables held where the slot begins stays readable until this is disposed of. Engines that cannot do that
   * leave the initial copy to the subscription.
   */
  createSlotWithSnapshot?(pair: Pair, timeoutMs: number): Promise<HeldSnapshot>;
  dropSlot(pair: Pair): Promise<boolean>;

  subscription(pair: Pair): Promise<SubscriptionState>;
  /** What our subscriptions of these databases are doing, in few sessions; databases without one are left out. */
  overview(targetCluster: BoundCluster, databases: readonly string[]): Promise<readonly SubscriptionOverview[]>;
  /** Creates the subscription on the existing slot, disabled: `enable` starts the copy, if it shall copy. */
  createSubscription(pair: Pair, options: { readonly copy: boolean }): Promise<void>;
  enable(pair: Pair): Promise<void>;
  /**
   * Our subscriptions of these databases, which are disabled, begin behind these positions of the source's WAL: what was committed before
   * them never travels.
   * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
   */
  beginAt(targetCluster: BoundCluster, positions: Positions): Promise<void>;
  /** Databases whose subscription begins there, or has come further. */
  beginsAt(targetCluster: BoundCluster, positions: Positions): Promise<ReadonlySet<string>>;
  /** Has workers that should run and do not start now, where the engine itself would take minutes. */
  wake?(pair: Pair): Promise<void>;
  /** Takes in what was added to the publication since; copies those tables. */
  refresh(pair: Pair): Promise<void>;
  disable(pair: Pair): Promise<void>;
  /** Drops the subscription and leaves the slot to `dropSlot`, so that an unreachable source does not stop it. */
  dropSubscription(pair: Pair): Promise<boolean>;

  /**
   * Runs statements on the source, in the transaction of this session, and sends them along between the rows: the target runs them where
   * they belong. Engines that cannot do that carry rows alone, and whoever changes tables runs them on both sides.
   * @param path where names without a schema are looked for, as search_path has it
   */
  replicateDdl?(source: Database, statements: readonly string[], path: string): Promise<void>;

  /** From now on each commit is flushed and confirmed at once: what a fence waits for comes in milliseconds. */
  confirmAtOnce(pair: Pair): Promise<void>;
  /** Everything up to this LSN of the source has been applied and flushed on the target. */
  reached(pair: Pair, lsn: string): Promise<boolean>;
  /** The databases, by name, that have not reached theirs; all are asked at once. */
  unreached(all: readonly Waiting[]): Promise<readonly string[]>;
}
