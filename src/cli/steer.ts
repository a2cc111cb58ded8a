import { ExitCode } from '../errors.ts';
import type { Session } from './session.ts';

/** After a run was told something: says so, and how to see what comes of it. */
export async function steered(
  session: Session,
  run: string,
  said: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<ExitCode> {
  session.terminal.print(`${said}\nfollow it: pgconvoy status ${run} --watch`);
  return report(session, run, more);
}

/** After a run was started to be left alone: its id, and nothing else, on stdout. */
export async function detached(
  session: Session,
  run: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<ExitCode> {
  session.terminal.print(run);
  return report(session, run, more);
}

async function report(session: Session, run: string, more: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const warnings = await session.queueWarnings();
  for (const warning of warnings) session.terminal.note(`! ${warning}`);
  session.terminal.document({ ok: true, run, warnings, ...more });
  return ExitCode.ok;
}
