import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const start = (): Command =>
  runCommand({
    name: 'start',
    summary: 'copy every database and let it stream',
    description:
      'Copies all rows of all databases to the target within the budgets of the configuration, builds the indexes afterwards, and keeps both sides equal from then on. ' +
      'Applications go on writing to the source.',
    examples: [
      ['pgconvoy start', 'and follow it'],
      ['pgconvoy start --detach', 'and return at once; see pgconvoy status'],
    ],
  });
