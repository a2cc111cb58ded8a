import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

interface UninstallOptions {
  readonly openSource?: boolean;
  readonly dropTargetDatabases?: boolean;
}

export const uninstall = (): Command =>
  runCommand<UninstallOptions>({
    name: 'uninstall',
    summary: 'remove everything of pgconvoy from both clusters',
    description:
      'Takes away whatever pgconvoy made and puts back what it changed, on both clusters, by names and ledgers alone. ' +
      'Copied databases and roles stay, and so does the fence of databases that were switched over.',
    examples: [
      ['pgconvoy uninstall', 'after the upgrade'],
      ['pgconvoy uninstall --open-source', 'and let applications write to the old cluster again'],
      ['pgconvoy uninstall --drop-target-databases', 'back to the beginning; asks first'],
    ],
    options: (command) =>
      command
        .option('--open-source', 'also take down the fence of databases already switched over')
        .option(
          '--drop-target-databases',
          'also drop the databases and roles that setup made on the target, unless they were opened',
        ),
    workflow: (options) => (options.dropTargetDatabases ? 'discard' : 'uninstall'),
    runOptions: (options) => ({ openSource: options.openSource === true }),
    confirm: (databases, options) =>
      options.dropTargetDatabases ? `Drop ${databases} on the target, with all rows copied so far?` : undefined,
  });
