import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';
import { cutoverOptions, cutoverRunOptions } from './stop.ts';
import type { CutoverOptions } from './stop.ts';

export const rollback = (): Command =>
  runCommand<CutoverOptions>({
    name: 'rollback',
    summary: 'switch back to the old cluster, which has every row written since',
    description:
      'A cutover in the other direction, for databases that are open on the target: fenced there, awaited to the last row, sequences and ' +
      'comparison, opened on the source again. Afterwards rows travel forth again, so that stop can follow. Asks before it begins. ' +
      'Before the target is open nothing of this is needed: pgconvoy cancel gives the databases back.',
    examples: [
      ['pgconvoy rollback', 'asks, then switches back whatever is open on the target'],
      ['pgconvoy rollback --databases billing --yes', 'one database, in a script'],
      ['pgconvoy rollback --together --deadline 30s', 'all at the same moment, or none'],
    ],
    options: cutoverOptions,
    runOptions: cutoverRunOptions,
    select: async (servers) => ({ selection: await servers.selectOpened(), options: {} }),
    confirm: (databases) =>
      `Switch ${databases} back to the source now? Nobody can write to them on the target afterwards.`,
  });
