import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

interface CheckOptions {
  readonly canary: boolean;
}

export const check = (): Command =>
  runCommand<CheckOptions>({
    name: 'check',
    summary: 'look for everything that stands in the way; leaves nothing behind',
    description:
      'Looks at both clusters and at each database and reports everything that stands in the way of an upgrade at once, each with its remedy. ' +
      'Last it makes a scratch database pgconvoy_canary on both servers, replicates it end to end and takes it away again, in a second or so; nothing else is changed. ' +
      'Ends with 3 when something blocks.',
    examples: [
      ['pgconvoy check', 'both clusters and all databases'],
      ["pgconvoy check --databases 'shop_*'", 'only some databases'],
      ['pgconvoy check --no-canary', 'only look: no scratch database'],
      ['pgconvoy check --json > findings.json', 'for programs'],
    ],
    options: (command) => command.option('--no-canary', 'do not prove the engine with a scratch database'),
    runOptions: ({ canary }) => ({ noCanary: !canary }),
  });
