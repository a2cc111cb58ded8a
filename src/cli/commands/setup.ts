import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const setup = (): Command =>
  runCommand({
    name: 'setup',
    summary: 'prepare both clusters: roles, databases, schemas, publications',
    description:
      'Checks everything again and proves the engine with a scratch database (a proof of the last hour will do), then makes roles, databases and tables on the target and publications on the source. No row is copied yet. ' +
      'Stops before any change where something blocks.',
    examples: [
      ['pgconvoy setup', 'and follow it'],
      ['pgconvoy setup --detach', 'and return at once'],
    ],
  });
