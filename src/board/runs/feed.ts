import { setTimeout as sleep } from 'node:timers/promises';

/** Who watches: called with each event, first with everything as it is. */
export type Listener = (event: string, data: unknown) => void;

interface Source<T> {
  /** What is said as long as looks fail. */
  readonly trouble: string;
  readonly look: (signal: AbortSignal) => Promise<T>;
  /** The events that bring somebody who knows `before` (undefined: nobody knows anything yet) up to date. */
  readonly events: (now: T, before: T | undefined) => readonly (readonly [event: string, data: unknown])[];
  /** Milliseconds between two looks, at least. */
  readonly everyMs: number;
}

/** A look comes after so many times what the one before took: it takes processor time from others on the same machine. */
const LOOK_SHARE = 4;

/** What can be watched. */
export interface Watched {
  /** @returns what ends it */
  watch(listener: Listener): () => void;
}

/** What several people watch: looked at once for all of them, and only as long as somebody watches. */
export class Feed<T> implements Watched {
  readonly #source: Source<T>;
  readonly #listeners = new Set<Listener>();
  #now: T | undefined;
  #failing = false;
  #stop: AbortController | undefined;

  constructor(source: Source<T>) {
    this.#source = source;
  }

  get watched(): boolean {
    return this.#listeners.size > 0;
  }

  /** What was seen last, while somebody watches. */
  get now(): T | undefined {
    return this.#now;
  }

  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    if (this.#failing) listener(...this.#troubleEvent());
    if (this.#now !== undefined)
      for (const [event, data] of this.#source.events(this.#now, undefined)) listener(event, data);
    if (!this.#stop) {
      this.#stop = new AbortController();
      void this.#run(this.#stop.signal);
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.watched) return;
      this.#stop?.abort();
      this.#stop = undefined;
      this.#now = undefined;
      this.#failing = false;
    };
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const began = performance.now();
      try {
        const now = await this.#source.look(signal);
        if (signal.aborted) return;
        const before = this.#now;
        this.#now = now;
        this.#tell(this.#source.events(now, before));
        this.#say(false);
      } catch {
        if (signal.aborted) return;
        this.#say(true);
      }
      const pause = Math.max(this.#source.everyMs, LOOK_SHARE * (performance.now() - began));
      await sleep(pause, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Why a look failed is not for pages: it may hold what is secret. */
  #say(failing: boolean): void {
    if (this.#failing === failing) return;
    this.#failing = failing;
    this.#tell([this.#troubleEvent()]);
  }

  #troubleEvent(): readonly [string, unknown] {
    const { trouble } = this.#source;
    return ['trouble', { about: trouble, holds: this.#failing }];
  }

  #tell(events: readonly (readonly [string, unknown])[]): void {
    for (const [event, data] of events) for (const listener of this.#listeners) listener(event, data);
  }
}
