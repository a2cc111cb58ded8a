import { confirm, intro, isCancel, log, outro, password, select, text } from '@clack/prompts';
import { LeftBySignal } from '../leave.ts';
import type { Terminal } from './terminal.ts';
import { visible, visibleLines } from './text.ts';

interface TextQuestion {
  readonly message: string;
  /** Taken when nothing is typed. */
  readonly initial?: string | undefined;
  /** What is wrong with an answer; undefined when nothing is. */
  readonly wrong?: (answer: string) => string | undefined;
}

interface Choice<V> {
  readonly value: V;
  readonly label: string;
  readonly hint?: string;
}

/**
 * Questions to a person, one after the other, and what is said between them; all on stderr. Ctrl-C and Escape leave.
 * @throws LeftBySignal
 */
export class Prompts {
  readonly #streams;

  constructor(terminal: Terminal) {
    this.#streams = { input: terminal.stdin, output: terminal.stderr };
    // The library asks the environment alone; --no-color and a redirected stderr count too.
    if (terminal.noteStyle.bold('x') === 'x') process.env['NO_COLOR'] = '1';
  }

  begin(title: string): void {
    intro(title, this.#streams);
  }

  end(line: string): void {
    outro(visibleLines(line), this.#streams);
  }

  heading(line: string): void {
    log.step(line, this.#streams);
  }

  good(line: string): void {
    log.success(visibleLines(line), this.#streams);
  }

  warn(line: string): void {
    log.warn(visibleLines(line), this.#streams);
  }

  bad(line: string): void {
    log.error(visibleLines(line), this.#streams);
  }

  async text({ message, initial, wrong }: TextQuestion): Promise<string> {
    const answer = await text({
      ...this.#streams,
      message: visible(message),
      ...(initial === undefined ? {} : { placeholder: initial, defaultValue: initial }),
      validate: (typed) => wrong?.((typed ?? '') === '' ? (initial ?? '') : (typed ?? '')),
    });
    // What the library returns for nothing is undefined, whatever its types say.
    return answered(answer as string | symbol | undefined) ?? '';
  }

  /** Typed unseen; may be empty unless something is wrong with that. */
  async secret(message: string, wrong?: (answer: string) => string | undefined): Promise<string> {
    const answer = await password({
      ...this.#streams,
      message: visible(message),
      validate: (typed) => wrong?.(typed ?? ''),
    });
    return answered(answer as string | symbol | undefined) ?? '';
  }

  async confirm(message: string, initial: boolean): Promise<boolean> {
    return answered(await confirm({ ...this.#streams, message: visible(message), initialValue: initial }));
  }

  async choose<V extends string>(message: string, options: readonly Choice<V>[], initial: V): Promise<V> {
    const answer = await select<string>({
      ...this.#streams,
      message: visible(message),
      options: [...options],
      initialValue: initial,
    });
    return answered(answer) as V;
  }
}

function answered<T>(answer: T): Exclude<T, symbol> {
  if (isCancel(answer)) throw new LeftBySignal('SIGINT');
  return answer as Exclude<T, symbol>;
}
