import type { OperationContext } from '../../engine/operation.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import type { CheckFinding } from './findings.ts';

/** One thing to look at. Asks and judges; the judgement itself is a pure function beside it. */
export interface Concern {
  readonly name: string;
  readonly side: 'source' | 'target';
  look(context: OperationContext): Promise<readonly CheckFinding[]>;
}

/**
 * Looks at every concern, one after the other. A concern that a server refuses (a privilege, a function that is not there)
 * becomes a finding and hides no other.
 * @throws UnreachableError and what is worth a retry: then nothing can be said about the cluster.
 */
export async function lookAtAll(
  context: OperationContext,
  concerns: readonly Concern[],
  database?: string,
): Promise<CheckFinding[]> {
  const found: CheckFinding[] = [];
  for (const [done, concern] of concerns.entries()) {
    context.signal.throwIfAborted();
    context.progress({ done, total: concerns.length, note: concern.name });
    try {
      found.push(...(await concern.look(context)));
    } catch (error) {
      context.signal.throwIfAborted();
      found.push(cannotLook(concern, database, error));
    }
  }
  context.progress({ done: concerns.length, total: concerns.length });
  return found;
}

function cannotLook(concern: Concern, database: string | undefined, error: unknown): CheckFinding {
  if (!(error instanceof DatabaseError) || error.disposition !== 'give-up') throw error;
  return {
    code: 'cannot-look',
    severity: 'block',
    side: concern.side,
    database,
    object: concern.name,
    message: `Could not look at ${concern.name}: ${error.message}`,
    remedy: error.hint,
  };
}
