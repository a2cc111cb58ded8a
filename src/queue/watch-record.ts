import type { Config } from '../config/schema.ts';
import type { Finding } from '../engine/finding.ts';
import type { Queues } from './queues.ts';

/** What the watchdog looks after, as its policy names it. */
export type Concern = keyof Config['watchdog']['policy'];

export interface WatchFinding extends Finding {
  readonly concern: Concern;
  /** Since when, milliseconds since 1970. */
  readonly since: number;
}

/** What the watchdog has seen last. */
export interface WatchRecord {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly worker: string;
  readonly findings: readonly WatchFinding[];
  /** No further copy begins. */
  readonly pausesCopying: boolean;
}

/** Beside the decisions about runs, in a place that no run has. */
const PLACE = 'watchdog';
const FIELD = 'seen';

/** Undefined where nobody has ever looked. */
export async function readWatch({ store }: Queues): Promise<WatchRecord | undefined> {
  const text = await store.readNote(PLACE, FIELD);
  return text === undefined ? undefined : (JSON.parse(text) as WatchRecord);
}

export const writeWatch = ({ store }: Queues, record: WatchRecord): Promise<void> =>
  store.writeNote(PLACE, FIELD, JSON.stringify(record));
