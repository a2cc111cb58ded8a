/**
 * What to do with an error when a job throws it.
 * - `retry`: the cause may pass by itself (a connection lost, a deadlock): try again, with backoff.
 * - `wait`: somebody holds what we need (a lock, a slot): try again until the step's deadline.
 * - `give-up`: trying again cannot help before a person does something.
 */
export type Disposition = 'retry' | 'wait' | 'give-up';

/** Documented in README.md; every command uses these and no others. */
export const ExitCode = {
  ok: 0,
  /** A step failed for good, or something unexpected happened. */
  failed: 1,
  /** Wrong usage or configuration: nothing was touched. */
  usage: 2,
  /** The checks found something that blocks an upgrade. */
  findings: 3,
  /** A server or the queue could not be reached, or refused us. */
  unreachable: 4,
  /** The run was cancelled. */
  cancelled: 5,
  /** The run waits for a person's approval. */
  waiting: 6,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface ErrorOptions {
  /** The next thing to do, as a sentence or as the very lines to type. */
  readonly hint: string;
  readonly disposition?: Disposition;
  readonly exitCode?: ExitCode;
  readonly cause?: unknown;
}

/**
 * An error that a person reads. The message says what happened (which server, database, object) and why;
 * the hint says what to do next. It is shown without a stack trace.
 */
export class PgconvoyError extends Error {
  override name = 'PgconvoyError';
  readonly hint: string;
  readonly disposition: Disposition;
  readonly exitCode: ExitCode;

  constructor(message: string, options: ErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.disposition = options.disposition ?? 'give-up';
    this.exitCode = options.exitCode ?? ExitCode.failed;
  }

  /** Message and hint in the one text that a board or a log can show. */
  get text(): string {
    return `${this.message}\n  → ${this.hint}`;
  }
}

/** The configuration or the command line is wrong. Nothing was touched. */
export class ConfigError extends PgconvoyError {
  override name = 'ConfigError';
  constructor(message: string, options: Omit<ErrorOptions, 'disposition' | 'exitCode'>) {
    super(message, { ...options, exitCode: ExitCode.usage });
  }
}

/** A server or the queue could not be reached, or refused us. */
export class UnreachableError extends PgconvoyError {
  override name = 'UnreachableError';
  constructor(message: string, options: Omit<ErrorOptions, 'exitCode'>) {
    super(message, { disposition: 'retry', ...options, exitCode: ExitCode.unreachable });
  }
}

/** An operation was applied and its own check still finds something missing. */
export class NotConverged extends PgconvoyError {
  override name = 'NotConverged';
}

/** Something was waited for and did not come in time. */
export class DeadlineExceeded extends PgconvoyError {
  override name = 'DeadlineExceeded';
}

/** A preflight check found what blocks an upgrade; the findings themselves are in the job's progress. */
export class BlockedByFindings extends PgconvoyError {
  override name = 'BlockedByFindings';
  constructor(message: string, options: Omit<ErrorOptions, 'disposition' | 'exitCode'>) {
    super(message, { ...options, exitCode: ExitCode.findings });
  }
}

/** The text of anything thrown, never a stack trace. */
export function errorText(error: unknown): string {
  if (error instanceof PgconvoyError) return error.text;
  return error instanceof Error ? error.message : String(error);
}

/**
 * Takes passwords out of a text of somebody else (a driver, a server): URLs with user and password, and
 * `password=…` of a connection string. Our own texts never hold one.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1***@')
    .replace(
      /\b(password|passwd|pwd|secret)(\s*[=:]\s*)('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|[^\s,;&]+)/gi,
      '$1$2***',
    );
}
