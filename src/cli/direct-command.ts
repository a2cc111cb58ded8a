import { ConfigError, ExitCode, PgconvoyError } from '../errors.ts';
import type { Clusters } from '../runtime/context.ts';
import type { Directly, Done } from '../runtime/directly.ts';
import type { Globals, Invocation } from './command.ts';
import { catchLeaving } from './leave.ts';
import { failureOf } from './render/error.ts';
import { leftOutLines } from './render/plan.ts';
import { configOf, Servers } from './servers.ts';

interface Where {
  /** Undefined: all that take part. */
  readonly database: string | undefined;
  readonly signal: AbortSignal;
}

/** A command that works on databases at once, without the queue. Leaving it cancels what it does. */
export async function runDirectly<T>(
  invocation: Invocation,
  database: string | undefined,
  body: (clusters: Clusters, directly: Directly) => Promise<Done<T>[]>,
): Promise<Done<T>[]> {
  using leaving = catchLeaving();
  return await withServers(invocation, { database, signal: leaving.signal }, body);
}

async function withServers<T>(
  { terminal, globals }: Invocation,
  { database, signal }: Where,
  body: (clusters: Clusters, directly: Directly) => Promise<Done<T>[]>,
): Promise<Done<T>[]> {
  const { exclude: _, ...others } = globals;
  const named: Globals = database === undefined ? globals : { ...others, databases: [database], exclude: [] };
  await using servers = new Servers(await configOf({ terminal, globals: named }), terminal);
  const { selected, reported } = await servers.select();
  if (selected.length === 0) {
    throw new ConfigError(`no database takes part: ${leftOutLines(reported, 3).join('; ')}`, {
      hint: 'See pgconvoy plan; name a database of the source, or correct databases.include.',
    });
  }
  let said = '';
  return await body(servers.clusters, {
    databases: selected,
    logLevel: globals.logLevel ?? 'warn',
    signal,
    progress: (name, { note }) => {
      const line = note === undefined ? '' : `${name}: ${note}`;
      if (line !== said) terminal.note(terminal.noteStyle.dim(line));
      said = line;
    },
  });
}

/** The first error's exit code, or all went well. */
export function codeOf(results: readonly Done<unknown>[]): ExitCode {
  const failed = results.find((done) => !done.ok);
  if (!failed) return ExitCode.ok;
  return failed.error instanceof PgconvoyError ? failed.error.exitCode : ExitCode.failed;
}

/** An outcome as JSON, errors as the other commands tell them. */
export function doneDocument<T extends object>(done: Done<T>): Record<string, unknown> {
  if (done.ok) return { database: done.database, ok: true, ...done.outcome };
  const { message, hint, code } = failureOf(done.error);
  return { database: done.database, ok: false, error: { message, hint, code } };
}
