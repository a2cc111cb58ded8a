/**
 * The process of the observer, apart from everybody else: all the time it tries to write in each database on each side, whoever is meant to
 * have it. Started by observer.ts, which sends the options as the first message and `stop` as the last.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { WriterSide } from './journal.ts';
import { quoted } from './session.ts';

export interface ObserverStart {
  readonly databases: readonly string[];
  readonly table: string;
  readonly endpoints: Readonly<Record<WriterSide, pg.ClientConfig>>;
}

/** An acknowledged write; times of this process, milliseconds. */
export interface Observation {
  readonly id: string;
  readonly database: string;
  readonly side: WriterSide;
  readonly sentAt: number;
  readonly acknowledgedAt: number;
}

/** When the latest acknowledged write of each database and side was sent, by `DATABASE SIDE`. */
export type ObserverReport = Readonly<Record<string, number>>;

const WRITE_MS = 20;
const KNOCK_MS = 80;
const REPORT_MS = 200;

const seen: Observation[] = [];
const latest: Record<string, number> = {};
const state = { stopped: false };

process.once('disconnect', () => process.exit(1));
process.once('message', (start) => void run(start as ObserverStart));

async function run({ databases, table, endpoints }: ObserverStart): Promise<void> {
  process.on('message', () => (state.stopped = true));
  const timer = setInterval(() => process.send?.(latest), REPORT_MS);
  const sides: readonly WriterSide[] = ['source', 'target'];
  const doors = databases.flatMap((database) => sides.map((side) => ({ database, side })));
  await Promise.all(
    doors.map(async ({ database, side }) => {
      for (let session = 1; !state.stopped; session++) {
        await writeWhileItLasts({ ...endpoints[side], database }, `${side} ${session}`, table, (id, sentAt) => {
          seen.push({ id, database, side, sentAt, acknowledgedAt: now() });
          latest[`${database} ${side}`] = sentAt;
        });
        await sleep(KNOCK_MS);
      }
    }),
  );
  clearInterval(timer);
  process.send?.(seen, () => process.exit(0));
}

/** Until the server refuses or ends the session; whatever the reason is, it is not our business. */
async function writeWhileItLasts(
  config: pg.ClientConfig,
  name: string,
  table: string,
  note: (id: string, sentAt: number) => void,
): Promise<void> {
  const client = new pg.Client({ ...config, application_name: 'observer' });
  client.on('error', () => {});
  try {
    await client.connect();
    for (let number = 1; !state.stopped; number++) {
      const id = `${name} ${number}`;
      const sentAt = now();
      await client.query(`insert into ${quoted('public', table)} (id, side) values ($1, split_part($1, ' ', 1))`, [id]);
      note(id, sentAt);
      await sleep(WRITE_MS);
    }
  } catch {
    // Knocking again tells whether anybody is let in.
  } finally {
    void client.end().catch(() => {});
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
