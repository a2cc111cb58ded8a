import { ExitCode, PgconvoyError, withoutSecrets } from '../errors.ts';
import type { Approval, StepError } from './types.ts';

/** Why a step of a cancelled run did not run, or did not go on. */
export class Cancelled extends PgconvoyError {
  override name = 'Cancelled';
  constructor(run: string, cancel: Approval) {
    super(`Run ${run} was cancelled by ${cancel.by}.`, {
      hint: `pgconvoy resume ${run} goes on where it was.`,
      exitCode: ExitCode.cancelled,
    });
  }
}

/** What happened to a predecessor makes it unsafe to run a step. */
export class PredecessorMissing extends PgconvoyError {
  override name = 'PredecessorMissing';
}

/** What anything thrown leaves in the job: cause and remedy, no stack trace, no secret. */
export function stepErrorOf(error: unknown): StepError {
  if (error instanceof PgconvoyError) {
    return {
      name: error.name,
      message: withoutSecrets(error.message),
      hint: withoutSecrets(error.hint),
      exitCode: error.exitCode,
    };
  }
  const thrown = error instanceof Error ? error : new Error(String(error));
  return {
    name: thrown.name,
    message: `Unexpected: ${withoutSecrets(thrown.message)}`,
    hint: 'This is probably a defect of pgconvoy: the log of the worker has the stack trace. Retry the step once the cause is known.',
    exitCode: ExitCode.failed,
  };
}

/** The one text for BullMQ's failedReason, which boards show. */
export const failureText = (error: StepError): string => `${error.message}\n  → ${error.hint}`;

/** The error of a job whose record could not be written (its worker died just then): only the text is left. */
export function errorFromText(text: string): StepError {
  const [message = text, hint = ''] = text.split('\n  → ');
  return { name: 'Error', message, hint, exitCode: ExitCode.failed };
}
