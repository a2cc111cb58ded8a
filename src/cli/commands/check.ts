import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const check = (): Command =>
  runCommand({
    name: 'check',
    summary: 'look for everything that stands in the way; changes nothing',
    description:
      'Looks at both clusters and at each database and reports everything that stands in the way of an upgrade at once, each with its remedy. ' +
      'Changes nothing. Ends with 3 when something blocks.',
    examples: [
      ['pgconvoy check', 'both clusters and all databases'],
      ["pgconvoy check --databases 'shop_*'", 'only some databases'],
      ['pgconvoy check --json > findings.json', 'for programs'],
    ],
  });
