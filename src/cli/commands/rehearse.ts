import type { Command } from 'commander';
import { previewIdentities } from '../identities.ts';
import { runCommand } from '../run-command.ts';

export const rehearse = (): Command =>
  runCommand({
    name: 'rehearse',
    summary: 'the whole upgrade up to streaming, and a cutover on the target alone; predicts the outage',
    description:
      'Does fix, setup and start, which change nothing where databases stream already. Then it holds each target still for a moment, does there what the cutover does inside ' +
      'the write outage, measures it, puts it back and lets the target stream on. The source is not fenced and applications notice nothing. Says how long each database would be without writes.',
    examples: [
      ['pgconvoy rehearse', 'all databases'],
      ['pgconvoy rehearse --databases billing', 'one of them'],
      ['pgconvoy report', 'the same in full, to keep'],
    ],
    preview: previewIdentities,
    runOptions: () => ({ rehearsal: true }),
  });
