import type { Command } from 'commander';
import { showIdentities } from '../identities.ts';
import { runCommand } from '../run-command.ts';

export const upgrade = (): Command =>
  runCommand({
    name: 'upgrade',
    summary: 'the whole road in one run, with an approval before the cutover',
    description:
      'Checks everything and proves the engine with a scratch database, then does fix, setup, start and stop in one run. When every database streams it waits for your approval before it switches over: ' +
      'on a terminal it asks, elsewhere it ends with 6 and says what to type.',
    examples: [
      ['pgconvoy plan', 'what it would do, before anything is done'],
      ['pgconvoy upgrade', 'and approve when asked'],
      ['pgconvoy upgrade --yes', 'without being asked'],
      ['pgconvoy upgrade --detach', 'and come back later: pgconvoy status, pgconvoy approve'],
    ],
    preview: showIdentities,
    approves: true,
  });
