import type { Queues } from './queues.ts';

/** How far one database was behind: bytes, at most so many seconds (null: unknown), and bytes of WAL that its slot retains. */
export type Lag = readonly [bytes: number, seconds: number | null, retained: number];

export interface LagLook {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly databases: Readonly<Record<string, Lag>>;
}

/** Beside what the watchdog notes, in a place that no run has. */
const PLACE = 'lag';
/** One look of so long is kept, and so many of them: three hours, a few megabytes for 1,000 databases. */
const EACH_MS = 120_000;
const KEPT = 90;

/** Takes the place of the one that was there three hours ago. */
export const writeLag = ({ store }: Queues, look: LagLook): Promise<void> =>
  store.writeNote(PLACE, String(Math.floor(look.at / EACH_MS) % KEPT), JSON.stringify(look));

/** In order of time. */
export async function readLag({ store }: Queues): Promise<readonly LagLook[]> {
  const [notes = {}] = await store.readNotes([PLACE]);
  const looks = Object.values(notes).map((text) => JSON.parse(text) as LagLook);
  // What is left from before a pause of the watchdog is of another time.
  const oldest = Date.now() - EACH_MS * KEPT;
  return looks.filter(({ at }) => at >= oldest).toSorted((one, other) => one.at - other.at);
}
