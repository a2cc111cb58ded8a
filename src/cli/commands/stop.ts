import type { Command } from 'commander';
import { runCommand } from '../run-command.ts';

export const stop = (): Command =>
  runCommand({
    name: 'stop',
    summary: 'the cutover: switch over to the target',
    description:
      'Fences each database on the source, waits until the target has its last row, brings sequences over, compares both sides and opens the target. ' +
      'Asks before it begins. Databases that are not open yet when the run is cancelled get their source back.',
    examples: [
      ['pgconvoy stop', 'asks, then switches over'],
      ['pgconvoy stop --yes', 'in a script'],
      ['pgconvoy stop --databases billing', 'one database first'],
    ],
    confirm: (databases) =>
      `Switch ${databases} over to the target now? Nobody can write to them on the source afterwards.`,
  });
