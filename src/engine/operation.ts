import type * as z from 'zod';
import type { Settings } from '../config/schema.ts';
import type { Logger } from '../log.ts';
import type { BoundCluster } from '../postgres/cluster.ts';
import type { Database } from '../postgres/database.ts';
import type { Ledger } from '../postgres/ledger.ts';
import type { Programs } from '../postgres/programs.ts';
import type { Traffic } from '../postgres/traffic.ts';
import type { ReplicationEngine } from '../replication/engine.ts';
import type { Finding } from './finding.ts';
import type { RunOptions } from './workflow.ts';

/** How far a step is, shown live. Sent often, stored at most a few times a second; never makes a step fail. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  /** What `done` and `total` count; bytes are shown as MB and get an ETA. */
  readonly unit?: 'bytes' | 'objects' | 'tables' | 'milliseconds';
  readonly rows?: number;
  /** What is being worked on or waited for right now. */
  readonly note?: string;
  /** Somebody outside whom it waits for, and what ends that: the same text as long as it is the same one. */
  readonly heldUp?: string;
  /** Tables that are being copied right now, bytes. */
  readonly tables?: readonly { readonly name: string; readonly done: number; readonly total: number }[];
}

/** Everything an operation may use, already bound to its job: sessions, names, signal. Nothing comes from a global. */
export interface OperationContext<I = unknown> {
  readonly input: I;
  /** The database of this step on the source; in a cluster step the maintenance database. */
  readonly source: Database;
  /** The database of the same name on the target; in a cluster step the maintenance database. */
  readonly target: Database;
  readonly sourceCluster: BoundCluster;
  readonly targetCluster: BoundCluster;
  readonly sourceLedger: Ledger;
  readonly targetLedger: Ledger;
  readonly engine: ReplicationEngine;
  /** pg_dump, pg_restore and friends, run with the password in their environment only. */
  readonly programs: Programs;
  /** Who leads applications to the cluster that is open. */
  readonly traffic: Traffic;
  /** The configuration without its secrets. */
  readonly settings: Settings;
  readonly run: {
    readonly id: string;
    /** Names of all databases of the run: capacity is counted for all of them. */
    readonly databases: readonly string[];
    /** What the command that started the run was told, e.g. `openSource` for uninstall. */
    readonly options: RunOptions;
    /** The steps of its write outage are done once more, because the databases had been given back. */
    readonly again?: boolean;
  };
  /** Aborted on cancel, shutdown, or when the advisory lock is lost. Statements of `source` and `target` follow it. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly progress: (progress: Progress) => void;
  /** A line in the run's log, which `pgconvoy logs` and the board show; never a secret. Never waits, never fails. */
  readonly note: (line: string) => void;
}

/** What `check` saw: the desired state holds (with the facts), or this much of it is missing. */
export type Verdict<O, M> =
  | { readonly holds: true; readonly output: O }
  /** A preflight that found something has still observed the rest. */
  | { readonly holds: false; readonly missing: readonly M[]; readonly output?: O };

export const holds = <O>(output: O): Verdict<O, never> => ({ holds: true, output });
export const lacks = <M, O = never>(missing: readonly M[], output?: O): Verdict<O, M> => ({
  holds: false,
  missing,
  ...(output === undefined ? {} : { output }),
});

/** What one job does to one database or one cluster. */
export interface Operation<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType, M = any> {
  /** The same in file, export (camelCase), job and log: `copy-roles`. */
  readonly name: string;
  /** The state that holds afterwards, as a sentence: "Every role of the source exists on the target". */
  readonly title: string;
  readonly scope: 'cluster' | 'database';
  /**
   * The queue, and with it the budget: `copy` moves much data, `cutover` happens inside the write outage, `operation`
   * is everything else.
   */
  readonly queue?: 'operation' | 'copy' | 'cutover';
  /** Of an operation without `apply` that changes something while it looks, and puts it back: its `check` too holds the lock. */
  readonly exclusive?: (context: OperationContext<z.output<I>>) => boolean;
  /** Of a step of the cluster that changes databases: it holds the locks of all databases of the run, as their own steps do. */
  readonly locks?: 'databases';
  /** It is made of these: see `inOneJob`. */
  readonly parts?: readonly AnyOperation[];
  readonly input: I;
  readonly output: O;
  /** Looks, changes nothing. */
  check(context: OperationContext<z.output<I>>): Promise<Verdict<z.output<O>, M>>;
  /** Makes it so; gets exactly what `check` found missing. May be killed anywhere and run again. */
  apply?(context: OperationContext<z.output<I>>, missing: readonly M[]): Promise<void>;
  /** What `apply` has changed, from what to what, as the job keeps it for the report: JSON of bounded size (`listed`), no secrets. */
  changes?(missing: readonly M[], run: OperationContext['run']): unknown;
  /**
   * Takes it back, so that `check` finds it missing again, and says whether there was anything to take back. Works from
   * names and ledger alone, on a source or target that is half done; doing it twice is fine.
   */
  undo?(context: OperationContext<z.output<I>>): Promise<boolean>;
}

/** Any operation, for registries and runners that do not know its types. */
export type AnyOperation = Operation<any, any, any>;

export const defineOperation = <I extends z.ZodType, O extends z.ZodType, M>(
  operation: Operation<I, O, M>,
): Operation<I, O, M> => operation;

/** An operation that only looks: what it misses are findings. */
export interface Preflight<I extends z.ZodType, O extends z.ZodType> extends Omit<
  Operation<I, O, Finding>,
  'apply' | 'undo'
> {}
export const definePreflight = <I extends z.ZodType, O extends z.ZodType>(
  operation: Preflight<I, O>,
): Operation<I, O, Finding> => operation;
