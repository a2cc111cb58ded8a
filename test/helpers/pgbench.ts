/** pgbench as an application that must not see an error: what it has committed, and how long the longest pause was. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { forgetServer, recordServer, runFolder } from './run-folder.ts';
import type { ClusterInfo } from './servers.ts';

interface Place {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

interface Benched {
  readonly database: string;
  /** Transactions that were acknowledged to a client. */
  readonly committed: number;
  readonly failed: number;
  /** The longest of those that ended between two moments, milliseconds: how long a client was held up. */
  readonly longestBetween: (from: number, to?: number) => number;
  /** Clients that gave up, and why. */
  readonly errors: string;
}

export interface Bench {
  /** Committed so far. */
  readonly committed: () => number;
  stop(): Promise<Benched>;
}

/** Its tables, at its smallest. */
export async function createPgbenchTables({ bin }: ClusterInfo, place: Place): Promise<void> {
  await execa(join(bin, 'pgbench'), ['--initialize', '--quiet', '--scale=1', ...where(place)], environment(place));
}

/** The transactions of TPC-B, so many a second, by a few clients, until it is stopped. */
export function startPgbench({ bin }: ClusterInfo, place: Place, perSecond: number): Bench {
  const folder = mkdtempSync(join(runFolder(), 'pgbench-'));
  const args = ['--client=3', `--rate=${perSecond}`, '--time=600', '--no-vacuum', '--log', ...where(place)];
  const child = spawn(join(bin, 'pgbench'), args, {
    cwd: folder,
    env: { ...process.env, ...environment(place).env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const identity = child.pid === undefined ? undefined : recordServer(child.pid, 'SIGKILL');
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      said += error.message;
      resolve();
    });
    child.once('close', () => resolve());
  });
  const lines = () => linesOf(folder);
  return {
    committed: () => lines().length,
    async stop() {
      // As when its time is over: what is under way is finished and told.
      child.kill('SIGALRM');
      await gone;
      if (identity) forgetServer(identity);
      const [, failed] = /number of failed transactions: (\d+)/.exec(said) ?? [];
      const [, processed] = /number of transactions actually processed: (\d+)/.exec(said) ?? [];
      if (failed === undefined || processed === undefined) throw new Error(`pgbench said: ${said}`);
      const ended = lines().map(transactionOf);
      return {
        database: place.database,
        committed: Number(processed),
        failed: Number(failed),
        longestBetween: (from, to = Infinity) =>
          Math.max(...ended.filter(({ at }) => at > from && at <= to).map(({ milliseconds }) => milliseconds)),
        errors: said
          .split('\n')
          .filter((line) => /error|aborted/i.test(line))
          .join('\n'),
      };
    },
  };
}

/** client, transaction, microseconds since it was to begin, script, when it ended (seconds, microseconds), microseconds until it began */
const transactionOf = (line: readonly string[]) => ({
  at: Number(line[4]) * 1_000 + Number(line[5]) / 1_000,
  milliseconds: (Number(line[2]) - Number(line[6])) / 1_000,
});

const linesOf = (folder: string): string[][] =>
  readdirSync(folder)
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => line.split(' '));

const where = ({ host, port, user, database }: Place) => ['-h', host, '-p', String(port), '-U', user, database];
const environment = ({ password }: Place) => ({ env: { PGPASSWORD: password, PGAPPNAME: 'pgbench' } });
