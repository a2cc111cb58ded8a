import { setTimeout as sleep } from 'node:timers/promises';

interface Keeping {
  /** A value so young is not looked for again. */
  readonly freshMs: number;
  /** Nobody waits longer than this for a new one; the old one is given then. */
  readonly patienceMs: number;
}

/** The value of a look, kept for a while. Never throws: undefined as long as there is none, or when the last look failed. */
export function cached<T>(look: () => Promise<T>, { freshMs, patienceMs }: Keeping): () => Promise<T | undefined> {
  let value: T | undefined;
  let lookedAt = -Infinity;
  let looking: Promise<void> | undefined;
  return async () => {
    if (performance.now() - lookedAt < freshMs) return value;
    looking ??= (async () => {
      value = await look().catch(() => undefined);
      lookedAt = performance.now();
      looking = undefined;
    })();
    const late = new AbortController();
    await Promise.race([looking, sleep(patienceMs, undefined, { signal: late.signal, ref: false }).catch(() => {})]);
    late.abort();
    return value;
  };
}
