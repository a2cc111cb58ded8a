import { Argument } from 'commander';
import type { Command } from 'commander';
import type { Side } from '../../postgres/cluster.ts';
import { leftOutLines } from '../render/plan.ts';
import type { Terminal } from '../render/terminal.ts';
import { runCommand } from '../run-command.ts';
import type { Servers } from '../servers.ts';
import type { SelectedForRun } from '../start-run.ts';

interface CheckOptions {
  readonly canary: boolean;
}

const SIDES: Readonly<Record<string, readonly Side[]>> = {
  all: ['source', 'target'],
  source: ['source'],
  // The source tells how many databases the target must have room for.
  target: ['source', 'target'],
};

export const check = (): Command =>
  runCommand<CheckOptions>({
    name: 'check',
    summary: 'look for everything that stands in the way; leaves nothing behind',
    description:
      'Looks at both clusters and at each database and tells of each point whether it holds (OK), stands in the way (KO) or is worth a note, with the remedy. ' +
      'A server that cannot be reached is a point too: the other one is checked all the same. ' +
      'Last it makes a scratch database pgconvoy_canary on both servers, replicates it end to end and takes it away again, in a second or so (CREATE and DROP DATABASE make each server write a checkpoint); nothing else is changed. ' +
      'Ends with 3 when something blocks, with 4 when a server cannot be reached.',
    examples: [
      ['pgconvoy check', 'both clusters and all databases'],
      ['pgconvoy check source', 'only the source; the target need not be there yet'],
      ["pgconvoy check --databases 'shop_*'", 'only some databases'],
      ['pgconvoy check --no-canary', 'only look: no scratch database'],
      ['pgconvoy check --json > findings.json', 'for programs'],
    ],
    options: (command) =>
      command
        .addArgument(
          new Argument('[side]', 'source, target (or destination), or all')
            .choices(['all', 'source', 'target', 'destination'])
            .default('all'),
        )
        .option('--no-canary', 'do not prove the engine with a scratch database'),
    runOptions: ({ canary }) => ({ noCanary: !canary }),
    select: selectSide,
  });

async function selectSide(servers: Servers, terminal: Terminal, word = 'all'): Promise<SelectedForRun> {
  const side = word === 'destination' ? 'target' : word;
  const { selection, away } = await servers.selectForCheck(SIDES[side] ?? []);
  const [sourceAway, targetAway] = [away.has('source'), away.has('target')];
  if (side === 'target' && sourceAway) {
    terminal.note('! the source cannot be reached, so limits are counted for no database at all');
  }
  if (!sourceAway && selection.selected.length === 0) {
    terminal.note(`! no database takes part: ${leftOutLines(selection.reported, 3).join('; ')}`);
  }
  return {
    selection,
    options: {
      sourceOnly: side === 'source',
      targetOnly: side === 'target',
      sourceAway,
      targetAway,
      // It takes both.
      ...(side === 'all' && away.size === 0 ? {} : { noCanary: true }),
    },
  };
}
