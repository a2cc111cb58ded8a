import { Command } from 'commander';
import type { ExitCode } from '../errors.ts';
import { Terminal } from './render/terminal.ts';

/** Options that every command takes, before or after its name. */
export interface Globals {
  readonly config?: string;
  readonly configPasswordFile?: string;
  readonly source?: string;
  readonly target?: string;
  readonly queue?: string;
  readonly engine?: string;
  readonly databases?: readonly string[];
  readonly exclude?: readonly string[];
  readonly json?: boolean;
  readonly color: boolean;
  readonly logLevel?: string;
}

/** What a command is handed: where it speaks, and what it was told. */
export interface Invocation<O extends object = {}> {
  readonly terminal: Terminal;
  readonly globals: Globals;
  readonly options: O;
}

export interface CommandText {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What the command does, for its own help. */
  readonly description: string;
  /** Lines to type, each with what it is for. */
  readonly examples: readonly (readonly [line: string, purpose: string])[];
}

/** A command with its texts; options and action are the caller's. */
export function command(text: CommandText): Command {
  const width = Math.max(...text.examples.map(([line]) => line.length));
  const examples = text.examples.map(([line, purpose]) => `  ${line.padEnd(width)}  # ${purpose}`);
  return new Command(text.name)
    .summary(text.summary)
    .description(text.description)
    .addHelpText('after', `\nExamples:\n${examples.join('\n')}`);
}

/** Runs a command's body with what commander has parsed; the exit code it returns becomes the process's. */
export function action<O extends object>(
  body: (invocation: Invocation<O>, ...args: (string | undefined)[]) => Promise<ExitCode>,
): (...all: unknown[]) => Promise<void> {
  return async (...all) => {
    const parsed = all.at(-1) as Command;
    const globals = parsed.optsWithGlobals<Globals>();
    const terminal = new Terminal({ json: globals.json === true, colour: globals.color });
    const args = parsed.processedArgs as (string | undefined)[];
    process.exitCode = await body({ terminal, globals, options: parsed.opts<O>() }, ...args);
  };
}
