import type { Command } from 'commander';
import { previewIdentities } from '../identities.ts';
import { runCommand } from '../run-command.ts';

export const fix = (): Command =>
  runCommand({
    name: 'fix',
    summary: 'give every table a replica identity',
    description:
      'Gives every table on the source a replica identity, so that updates and deletes can be replicated: a unique index that serves, else the whole row, else a key column where the configuration asks for it (fix). ' +
      'Prints for each table what it gets, why, and what it costs, and asks before it begins. What was changed is recorded and put back by uninstall.',
    examples: [
      ['pgconvoy fix', 'all databases'],
      ['pgconvoy plan fix', 'only show what it would do'],
      ['pgconvoy fix --yes', 'without being asked; needed for key columns where nobody can answer'],
    ],
    preview: previewIdentities,
  });
