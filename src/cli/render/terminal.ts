import { createInterface } from 'node:readline/promises';
import { styleFor } from './style.ts';
import type { Style } from './style.ts';

interface TerminalOptions {
  readonly json: boolean;
  readonly colour: boolean;
  readonly stdin?: NodeJS.ReadStream;
  readonly stdout?: NodeJS.WriteStream;
  readonly stderr?: NodeJS.WriteStream;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Where a command speaks. Results go to stdout, everything that only accompanies them to stderr. Nobody else prints. */
export class Terminal {
  readonly json: boolean;
  /** For what goes to stdout. */
  readonly style: Style;
  /** For what goes to stderr. */
  readonly noteStyle: Style;
  readonly stderr: NodeJS.WriteStream;
  readonly stdin: NodeJS.ReadStream;
  readonly #stdout: NodeJS.WriteStream;
  readonly #dumb: boolean;

  constructor(options: TerminalOptions) {
    const env = options.env ?? process.env;
    this.json = options.json;
    this.#dumb = env['TERM'] === 'dumb';
    this.stdin = options.stdin ?? process.stdin;
    this.#stdout = options.stdout ?? process.stdout;
    this.stderr = options.stderr ?? process.stderr;
    this.style = styleFor({ wanted: options.colour, isTTY: this.#stdout.isTTY === true, env });
    this.noteStyle = styleFor({ wanted: options.colour, isTTY: this.stderr.isTTY === true, env });
  }

  /** Columns of what is printed to stdout; 80 where it is no terminal. */
  get width(): number {
    return Math.max(40, this.#stdout.columns ?? 80);
  }

  /** Somebody sits there who sees questions (on stderr) and can answer them. */
  get canAsk(): boolean {
    return this.stdin.isTTY === true && this.stderr.isTTY === true;
  }

  /** Somebody sits there, at a terminal that can redraw a line: for prompts that hide what is typed, or offer choices. */
  get canPrompt(): boolean {
    return this.canAsk && this.canRedraw;
  }

  /** The live view may redraw itself. */
  get canRedraw(): boolean {
    return this.stderr.isTTY === true && !this.#dumb;
  }

  /** A result for a person; nothing in JSON mode, where the one document is the result. */
  print(text: string): void {
    if (!this.json && text !== '') this.#stdout.write(`${text}\n`);
  }

  /** What only accompanies the result. */
  note(text: string): void {
    if (text !== '') this.stderr.write(`${text}\n`);
  }

  /** The one document of JSON mode. */
  document(value: unknown): void {
    if (this.json) this.#stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** Asks until the signal says that nobody waits for the answer any more; then undefined. */
  async ask(question: string, signal: AbortSignal): Promise<string | undefined> {
    const lines = createInterface({ input: this.stdin, output: this.stderr });
    try {
      // In raw mode readline gets Ctrl-C itself; it must mean what it means everywhere else.
      lines.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
      return await lines.question(question, { signal });
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    } finally {
      lines.close();
    }
  }
}

/** A reader that went away (`| head`) ends the command quietly, as it does for every other program. */
export function endQuietlyWithoutReader(streams: readonly NodeJS.WriteStream[], exit: () => void): void {
  for (const stream of streams) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') exit();
      else throw error;
    });
  }
}
