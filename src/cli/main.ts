#!/usr/bin/env node
import { CommanderError } from 'commander';
import { ExitCode } from '../errors.ts';
import { endBySignal, LeftBySignal } from './leave.ts';
import { buildProgram } from './program.ts';
import { failureOf, renderFailure } from './render/error.ts';
import { endQuietlyWithoutReader, Terminal } from './render/terminal.ts';

endQuietlyWithoutReader([process.stdout, process.stderr], () => process.exit());
process.exitCode = await main(process.argv);

/** The one place where a command ends, whatever ended it. */
async function main(argv: readonly string[]): Promise<ExitCode> {
  // Errors come before or while options are parsed, so what matters for telling them is read from the words themselves.
  const words = new Set(argv.slice(2));
  const terminal = new Terminal({ json: words.has('--json'), colour: !words.has('--no-color') });
  const program = await buildProgram(argv.slice(2));
  for (const each of [program, ...program.commands]) each.exitOverride();
  try {
    await program.parseAsync([...argv]);
    return (process.exitCode ?? ExitCode.ok) as ExitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end with 0; everything else commander refuses is wrong usage.
      if (error.exitCode === 0) return ExitCode.ok;
      const message = error.message.replace(/^error: /, '');
      terminal.document({ ok: false, error: { message, hint: 'See pgconvoy --help.', code: ExitCode.usage } });
      return ExitCode.usage;
    }
    if (error instanceof LeftBySignal) {
      endBySignal(error);
      return ExitCode.ok;
    }
    const failure = failureOf(error);
    const { stack: _, ...told } = failure;
    if (terminal.json) terminal.document({ ok: false, error: told });
    else terminal.note(renderFailure(failure, terminal.noteStyle, isDebugging(argv)));
    return failure.code;
  }
}

function isDebugging(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      /^--log-level=(debug|trace)$/.test(word) ||
      (word === '--log-level' && /^(debug|trace)$/.test(argv[index + 1] ?? '')),
  );
}
