import type { AnyOperation } from '../engine/operation.ts';
import { runOperation } from '../engine/run-operation.ts';
import type { OperationResult } from '../engine/run-operation.ts';
import { PgconvoyError } from '../errors.ts';
import type { GivenBackAsNoted } from '../postgres/catalog/agreement.ts';
import type { Execute, FailedForGood, StepExecution } from '../queue/types.ts';
import { takingBack } from '../replication/engines.ts';
import { openContext } from './context.ts';
import { engineOf } from './engine.ts';
import type { Clusters } from './context.ts';
import { DatabaseLocks } from './locks.ts';
import { OutageSteps } from './outage-steps.ts';

/**
 * One attempt to get the lock of a database. After it the step waits in the queue for its next one, until deadlines.lock, and leaves
 * its place in the budget to others.
 */
const LOCK_MS = 5_000;

export interface Executor {
  readonly execute: Execute;
  /** Gives back what a step has failed in between fence and opening. */
  readonly failedForGood: FailedForGood;
  /** Ends steps that work on databases that were given back meanwhile. */
  readonly noteGivenBack: (databases: readonly GivenBackAsNoted[]) => void;
  /** Gives back locks; the clusters belong to the caller. */
  close(): Promise<void>;
}

/** What turns a step into work: opens its context, holds its locks around every change, closes its sessions. */
export function createExecutor(clusters: Clusters, operations: ReadonlyMap<string, AnyOperation>): Executor {
  const locks = new DatabaseLocks(clusters);
  const steps = new OutageSteps(clusters);
  const one: Execute = async (execution) => {
    const operation = operations.get(execution.step.operation);
    if (!operation) throw unknownOperation(execution);
    return executeStep(clusters, locks, operation, execution);
  };
  return {
    execute: (execution) => steps.run(execution, one),
    failedForGood: steps.failed,
    noteGivenBack: (databases) => steps.noteGivenBack(databases),
    close: () => locks.close(),
  };
}

async function executeStep(
  clusters: Clusters,
  locks: DatabaseLocks,
  operation: AnyOperation,
  execution: StepExecution,
): Promise<OperationResult> {
  const { run, step, log, progress, note } = execution;
  // A lost lock stops the step as a cancel does, but the step is tried again.
  const lockLost = new AbortController();
  const signal = AbortSignal.any([execution.signal, lockLost.signal]);
  const engine = await engineOf(clusters, signal, run.options);
  const { context, close } = openContext(clusters, {
    engine: step.policy.direction === 'undo' ? takingBack(engine) : engine,
    applicationName: `pgconvoy/${run.id}/${step.key}`,
    database: execution.database?.name,
    // A row that travels back in a run that travels back travels forth.
    reversed: (run.options['back'] === true) !== (step.policy.reversed === true),
    input: operation.input.parse(step.input ?? {}),
    run: {
      id: run.id,
      databases: run.databases.map(({ name }) => name),
      options: run.options,
      again: execution.again === true,
    },
    signal,
    log,
    progress,
    note,
  });
  try {
    return await runOperation(operation, context, step.policy, {
      onFindings: execution.findings,
      locked: async (body) => {
        const release = await locks.holdAll(locksOf(operation, execution), {
          signal,
          deadlineMs: Math.min(LOCK_MS, clusters.settings.deadlines.lock),
          onLost: (error) => lockLost.abort(error),
          onWait: (holder) => {
            log.info({ holder }, 'waiting for a lock');
            progress({ done: 0, total: 1, note: `waiting for ${holder}` });
          },
        });
        try {
          return await body();
        } finally {
          await release();
        }
      },
    });
  } catch (error) {
    // Whatever the abort made fail in there, this is why.
    throw lockLost.signal.aborted && !execution.signal.aborted ? lockLost.signal.reason : error;
  } finally {
    await close();
  }
}

/** What a step changes, and nobody else meanwhile. */
const locksOf = ({ locks }: AnyOperation, { database, run }: StepExecution): readonly (string | undefined)[] =>
  locks === 'databases' ? [undefined, ...run.databases.map(({ name }) => name)] : [database?.name];

function unknownOperation({ step }: StepExecution): PgconvoyError {
  return new PgconvoyError(`this worker does not know the operation ${step.operation}`, {
    hint: 'The run was started by another version of pgconvoy: install that version for the workers too, then retry the step.',
  });
}
