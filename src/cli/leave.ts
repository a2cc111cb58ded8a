const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
type LeavingSignal = (typeof SIGNALS)[number];

/** Thrown through everything that has to be closed once a person has left; main.ts ends the process by that signal. */
export class LeftBySignal extends Error {
  override name = 'LeftBySignal';
  readonly signal: LeavingSignal;
  constructor(signal: LeavingSignal) {
    super(`left by ${signal}`);
    this.signal = signal;
  }
}

/** Ctrl-C while a run is followed leaves the view, not the run. */
export interface Leaving extends Disposable {
  /** Aborted, with a LeftBySignal as its reason, when the person (or the machine) wants us gone. */
  readonly signal: AbortSignal;
}

export function catchLeaving(): Leaving {
  const controller = new AbortController();
  const leave = (signal: LeavingSignal) => {
    const left = new LeftBySignal(signal);
    // Whoever asks twice does not want to wait until everything is closed.
    if (controller.signal.aborted) endBySignal(left);
    else controller.abort(left);
  };
  // Not `once`: log-update restores the cursor by a listener of its own, and ends the process where it finds no other.
  for (const signal of SIGNALS) process.on(signal, leave);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, leave);
    },
  };
}

/** Ends the process as the signal would have without us: a shell script that called us stops too, as after any Ctrl-C. */
export function endBySignal({ signal }: LeftBySignal): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
