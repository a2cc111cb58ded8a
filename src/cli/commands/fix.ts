import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const fix = (): Command =>
  runCommand({
    name: 'fix',
    summary: 'give every table a replica identity',
    description:
      'Mends on the source what can be mended without a decision: every table gets a replica identity, so that updates and deletes can be replicated. ' +
      'What was changed is recorded and put back by uninstall.',
    examples: [
      ['pgconvoy fix', 'all databases'],
      ['pgconvoy plan fix', 'what it would do'],
    ],
  });
