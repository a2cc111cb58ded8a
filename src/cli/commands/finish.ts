import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const finish = (): Command =>
  runCommand({
    name: 'finish',
    summary: 'end the possibility of going back',
    description:
      'Ends the replication from the target back to the source, so that the target keeps no WAL for it. The source stays fenced. ' +
      'Uninstall does this too. Asks before it begins: afterwards there is no rollback.',
    examples: [
      ['pgconvoy finish', 'asks, then ends the way back of all databases'],
      ['pgconvoy finish --databases billing --yes', 'one database, in a script'],
    ],
    select: async (servers) => ({ selection: await servers.selectOpened(), options: {} }),
    confirm: (databases) => `End the way back of ${databases}? pgconvoy rollback is not possible afterwards.`,
  });
