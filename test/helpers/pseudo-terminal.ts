/**
 * A person at a terminal: `script` of util-linux gives a program a pseudo-terminal, so that tests see what it asks and type answers.
 * On Debian it comes with bsdutils, which every installation has.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { stripVTControlCharacters } from 'node:util';
import { forgetServer, recordServer } from './run-folder.ts';
import { eventually } from './wait.ts';

export interface TerminalOptions {
  readonly cwd: string;
  /** All of it: nothing of this process's environment goes in. */
  readonly env: Readonly<Record<string, string>>;
  /** Where standard output goes instead of the terminal. */
  readonly stdoutTo?: string;
  /** 200, unless said otherwise. */
  readonly columns?: number;
}

const ENTER = '\r';
export const DOWN = '\u001B[B';
export const CTRL_C = '\u0003';

export class PseudoTerminal {
  readonly #child: ChildProcess;
  readonly #gone: Promise<number>;
  #text = '';
  #seen = 0;

  constructor(words: readonly string[], { cwd, env, stdoutTo, columns = 200 }: TerminalOptions) {
    if (spawnSync('script', ['--version']).error) {
      throw new Error(
        'There is no `script` here: on Debian it is in bsdutils, on Fedora in util-linux-script, elsewhere in util-linux.',
      );
    }
    const line = words.map(quoted).join(' ') + (stdoutTo === undefined ? '' : ` > ${quoted(stdoutTo)}`);
    this.#child = spawn('script', ['-qfec', `stty cols ${columns} rows 60; ${line}`, '/dev/null'], {
      cwd,
      env: { SHELL: '/bin/sh', TERM: 'xterm', PATH: process.env['PATH'], ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const identity = this.#child.pid === undefined ? undefined : recordServer(this.#child.pid, 'SIGTERM');
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#text += text));
    // A program that has ended takes no more answers.
    this.#child.stdin!.on('error', () => {});
    this.#gone = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('close', (code) => {
        if (identity) forgetServer(identity);
        resolve(code ?? -1);
      });
    });
  }

  /** Everything that was shown, as the terminal got it. */
  get written(): string {
    return this.#text;
  }

  /** Everything that was shown, without colours and movements. */
  get screen(): string {
    return stripVTControlCharacters(this.#text).replaceAll('\r', '');
  }

  /** Waits until something is shown that was not there at the last look. */
  async see(expected: string): Promise<void> {
    await eventually(
      () => {
        const at = this.screen.indexOf(expected, this.#seen);
        if (at < 0) throw new Error(`"${expected}" does not appear after:\n${this.screen}`);
        this.#seen = at + expected.length;
      },
      { timeoutMs: 60_000 },
    );
  }

  /** Types, without the key that ends a line. */
  type(text: string): void {
    this.#child.stdin!.write(text);
  }

  /** Waits until a question is open, and answers it. */
  async answer(question: string, text = ''): Promise<void> {
    await this.see(`◆  ${question}`);
    this.type(text + ENTER);
  }

  /** Waits for the end; returns the exit code, 128 + its number after a signal. */
  ended(): Promise<number> {
    return this.#gone;
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
