import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainEnvironment } from './programs.ts';

/** When a command of the operator is run. */
export type HookEvent = 'before-fence' | 'fenced' | 'before-open' | 'opened' | 'rolled-back';

export interface HookSettings {
  readonly at: HookEvent;
  /** Program and arguments; no shell is between. */
  readonly command: readonly string[];
  /** May hold secrets. */
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** How often it is run again when it fails. */
  readonly retries: number;
  /** Where it runs. */
  readonly folder: string;
  /** What its output must not show. */
  readonly secrets: readonly string[];
}

interface HookCall {
  /** PGCONVOY_…, over the hook's own. */
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Each line it writes, without secrets. */
  readonly onLine: (line: string) => void;
}

export interface HookRun {
  /** The program's name, without its folder and arguments, which may hold secrets. */
  readonly program: string;
  readonly milliseconds: number;
  readonly attempts: number;
  /** Why it failed, undefined where it did not. */
  readonly failure?: string;
}

/** What a program leaves behind may keep its output open. */
const DRAIN_MS = 300;
/** Between asking it to end and ending it. */
const GRACE_MS = 1_000;
const MOST_LINES = 500;
const LONGEST_LINE = 1_000;
/** Shorter values stand for themselves in every other line. */
const SHORTEST_SECRET = 4;

/** Loaded when a hook is run, as for other programs. */
const loadExeca = async () => (await import('execa')).execa;

/** A command that the operator has given for a moment of the cutover. What is secret about it stays in here. */
export class Hook {
  readonly at: HookEvent;
  readonly program: string;
  readonly #settings: HookSettings;

  constructor(settings: HookSettings) {
    this.at = settings.at;
    this.program = basename(settings.command[0] ?? '');
    this.#settings = settings;
  }

  /** Runs it, again as often as it may; a failure is told, not thrown. An abort of the signal ends it and is thrown. */
  async run(call: HookCall): Promise<HookRun> {
    const began = performance.now();
    for (let attempts = 1; ; attempts++) {
      const failure = await this.#once(call);
      call.signal.throwIfAborted();
      const milliseconds = Math.round(performance.now() - began);
      if (failure === undefined) return { program: this.program, milliseconds, attempts };
      if (attempts > this.#settings.retries) return { program: this.program, milliseconds, attempts, failure };
      call.onLine(`${failure}; it is run again`);
    }
  }

  /** @returns why it failed */
  async #once({ environment, signal, onLine }: HookCall): Promise<string | undefined> {
    signal.throwIfAborted();
    const { command, folder, timeoutMs } = this.#settings;
    const execa = await loadExeca();
    // Its own process group: what it has started itself ends with it.
    const child = execa(command[0]!, command.slice(1), {
      cwd: folder,
      env: { ...plainEnvironment(), ...this.#settings.environment, ...environment },
      extendEnv: false,
      stdin: 'ignore',
      buffer: false,
      detached: true,
      reject: false,
    });
    let late = false;
    const end = () => void endGroup(child.pid);
    const timer = setTimeout(() => {
      late = true;
      end();
    }, timeoutMs);
    signal.addEventListener('abort', end, { once: true });
    try {
      const said: string[] = [];
      const output = Promise.all(
        [child.stdout, child.stderr].map((stream) =>
          eachLine(stream, (line) => {
            const clean = this.#redacted(line);
            said.splice(0, said.length, clean);
            onLine(clean);
          }),
        ),
      );
      const ended = await new Promise<string | undefined>((resolve) => {
        child.once('exit', (code, by) =>
          resolve(code === 0 ? undefined : code === null ? `was ended by ${by}` : `ended with exit code ${code}`),
        );
        void child.then(({ code }) => resolve(`could not be started: ${code ?? 'no reason is known'}`));
      });
      await Promise.race([output, sleep(DRAIN_MS)]);
      if (late) return `${this.program} did not end within ${timeoutMs} ms and was killed`;
      return ended === undefined ? undefined : [`${this.program} ${ended}`, ...said].join(': ');
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }

  #redacted(line: string): string {
    const { environment, secrets } = this.#settings;
    return [...secrets, ...Object.values(environment)]
      .flatMap((secret) => secret.split('\n'))
      .filter((secret) => secret.length >= SHORTEST_SECRET)
      .toSorted((one, other) => other.length - one.length)
      .reduce((text, secret) => text.replaceAll(secret, '***'), line);
  }
}

/** Asks a program and all it has started to end; ends them where they do not. */
async function endGroup(pid: number | undefined): Promise<void> {
  if (pid === undefined || !signalled(pid, 'SIGTERM')) return;
  await sleep(GRACE_MS);
  signalled(pid, 'SIGKILL');
}

function signalled(group: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    // It has ended.
    return false;
  }
}

/** So many lines that a log can bear them. */
async function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let count = 0;
  for await (const line of createInterface({ input: stream })) {
    count += 1;
    if (count < MOST_LINES) onLine(line.slice(0, LONGEST_LINE));
    else if (count === MOST_LINES) onLine('… (more is not kept)');
  }
}
