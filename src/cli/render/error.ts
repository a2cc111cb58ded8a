import { ExitCode, PgconvoyError } from '../../errors.ts';
import { remedyLines } from './problems.ts';
import type { Style } from './style.ts';
import { visibleLines } from './text.ts';

export interface Failure {
  readonly message: string;
  readonly hint: string;
  readonly code: ExitCode;
  /** Only for what nobody expected. */
  readonly stack?: string;
}

/** What a person is told about anything thrown. */
export function failureOf(error: unknown): Failure {
  // What failed comes before what then failed while everything was being closed.
  if (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error)
    return failureOf(error.suppressed);
  if (error instanceof PgconvoyError) return { message: error.message, hint: error.hint, code: error.exitCode };
  const message = error instanceof Error ? error.message : String(error);
  return {
    message: `unexpected: ${message}`,
    hint: 'This is a defect of pgconvoy. Run the command again with --log-level debug and report what it prints; nothing that succeeded will be repeated.',
    code: ExitCode.failed,
    ...(error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}),
  };
}

export function renderFailure(failure: Failure, style: Style, withStack: boolean): string {
  return [
    `${style.red('error:')} ${visibleLines(failure.message)}`,
    ...remedyLines(failure.hint, '  ', style),
    ...(withStack && failure.stack !== undefined ? [style.dim(failure.stack)] : []),
  ].join('\n');
}
