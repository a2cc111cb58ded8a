/** pgconvoy's commands, as a person types them. */
import { spawn } from 'node:child_process';
import { execa } from 'execa';
import type { RunView } from '../../src/queue/types.ts';
import { builtProgram } from '../../test/helpers/program.ts';
import { command } from './say.ts';
import type { World } from './world.ts';

export class Commands {
  /** dist/src/cli/main.js. */
  readonly program: string;
  readonly #world: World;

  private constructor(program: string, world: World) {
    this.program = program;
    this.#world = world;
  }

  static async open(world: World): Promise<Commands> {
    return new Commands(await builtProgram(), world);
  }

  /**
   * Runs a command; what it prints, the live view too, goes to this terminal as it is.
   * @throws Error when it does not end with the expected code.
   */
  async run(words: readonly string[], expected: number): Promise<void> {
    command(['pgconvoy', ...words].join(' '));
    const child = spawn(process.execPath, [this.program, ...words], {
      cwd: this.#world.folder,
      env: { ...process.env, ...this.#world.env },
      // No stdin: nobody is here to answer, so an approval is a command of its own.
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exitCode, signal) => resolve(exitCode ?? signal ?? 1));
    });
    if (code !== expected) {
      throw new Error(`pgconvoy ${words.join(' ')} ended with ${code}, which should have been ${expected}`);
    }
  }

  /** The latest run of a workflow. */
  async latest(workflow: string): Promise<RunView> {
    const { runs } = await this.#json<{ runs: readonly { id: string; workflow: string }[] }>('runs');
    const id = runs.find((run) => run.workflow === workflow)?.id;
    if (id === undefined) throw new Error(`pgconvoy runs knows no run of ${workflow}`);
    return (await this.#json<{ run: RunView }>('status', id)).run;
  }

  async #json<T>(...words: readonly string[]): Promise<T> {
    const { stdout } = await execa(process.execPath, [this.program, ...words, '--json'], {
      cwd: this.#world.folder,
      env: this.#world.env,
      stdin: 'ignore',
      reject: false,
    });
    return JSON.parse(stdout) as T;
  }
}

/** What pgconvoy itself measured: from the fence to the open target, milliseconds per database. */
export function outagesIn(run: RunView): number[] {
  return run.stages
    .flatMap(({ steps }) => steps)
    .flatMap(({ operation, output }) =>
      operation === 'open-target' ? [(output as { outageMs: number }).outageMs] : [],
    );
}
