import type { Command } from 'commander';
import { duration } from '../../config/schema.ts';
import { ConfigError } from '../../errors.ts';
import type { RunOptions } from '../../engine/workflow.ts';
import { runCommand } from '../run-command.ts';

export interface CutoverOptions {
  readonly together?: boolean;
  readonly each?: boolean;
  readonly deadline?: string;
}

export const cutoverOptions = (made: Command): Command =>
  made
    .option('--together', 'nobody opens before all databases are ready (cutover.together)')
    .option('--each', 'each database opens as soon as it is ready')
    .option('--deadline <duration>', 'how long nobody may be able to write (deadlines.outage), like 30s');

/** @throws ConfigError */
export function cutoverRunOptions({ together, each, deadline }: CutoverOptions): RunOptions {
  if (together && each) {
    throw new ConfigError('--together and --each say the opposite of each other', { hint: 'Give one of them.' });
  }
  const outage = deadline === undefined ? undefined : duration('60s').safeParse(deadline);
  if (outage && !outage.success) {
    throw new ConfigError(`--deadline ${deadline} is no duration`, { hint: 'Write 500ms, 30s or 2m.' });
  }
  return {
    ...(together || each ? { together: together === true } : {}),
    ...(outage ? { outage: outage.data } : {}),
  };
}

export const stop = (): Command =>
  runCommand<CutoverOptions>({
    name: 'stop',
    summary: 'the cutover: switch over to the target',
    description:
      'Fences each database on the source, waits until the target has its last row, brings sequences over, compares both sides and opens the target. ' +
      'Asks before it begins. Databases that are not open yet when the run is cancelled get their source back.',
    examples: [
      ['pgconvoy stop', 'asks, then switches over'],
      ['pgconvoy stop --yes', 'in a script'],
      ['pgconvoy stop --databases billing', 'one database first'],
      ['pgconvoy stop --together --deadline 30s', 'all at the same moment, or none'],
    ],
    options: cutoverOptions,
    runOptions: cutoverRunOptions,
    confirm: (databases) =>
      `Switch ${databases} over to the target now? Nobody can write to them on the source afterwards.`,
  });
