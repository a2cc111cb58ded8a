/** The contender: plain.sh, what an operator would write with pg_dump, psql and CREATE SUBSCRIPTION. */
import { join } from 'node:path';
import { execa } from 'execa';
import type { Outages } from './numbers.ts';
import type { Pair } from './servers.ts';
import type { Scenario } from './scenarios.ts';

export interface PlainResult {
  /** Until every table streams; its indexes are there from the beginning. */
  readonly seconds: number;
  readonly cutover?: Outages;
}

export async function runPlain(pair: Pair, scenario: Scenario, atATime: number): Promise<PlainResult> {
  const seconds = (await script(pair, ['start', String(atATime), ...scenario.databases])).seconds;
  if (!scenario.cutover) return { seconds };
  const cutover = await script(pair, ['cutover', String(atATime), ...scenario.databases]);
  const outages = cutover.stdout.split('\n').map((line) => Number(line.split(' ')[1]));
  if (outages.length !== scenario.databases.length)
    throw new Error(`plain.sh cut over only ${outages.length} databases`);
  return { seconds, cutover: { totalSeconds: cutover.seconds, milliseconds: outages } };
}

async function script({ source, target }: Pair, args: readonly string[]) {
  const began = performance.now();
  const { stdout } = await execa('bash', [join(import.meta.dirname, 'plain.sh'), ...args], {
    env: {
      BIN: target.bin,
      PGUSER: source.user,
      PGPASSWORD: source.password,
      SOURCE_PORT: String(source.port),
      TARGET_PORT: String(target.port),
    },
    timeout: 600_000,
  });
  return { stdout, seconds: (performance.now() - began) / 1_000 };
}
