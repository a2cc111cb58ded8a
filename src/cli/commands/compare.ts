import type { Command } from 'commander';
import { tablesOption } from '../../engine/chosen-tables.ts';
import { runCommand } from '../run-command.ts';

interface CompareOptions {
  readonly tables?: readonly string[];
}

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

export const compare = (): Command =>
  runCommand<CompareOptions>({
    name: 'compare',
    summary: 'compare both sides while writers write; changes nothing',
    description:
      'Reads every table that streams on both sides, by count and checksum, and follows each row that differs until the target has caught up: ' +
      'what is on its way is no difference. Where applications use the target and rows travel back, it compares in that direction. ' +
      'Ends with 3 when rows differ, and names them.',
    examples: [
      ['pgconvoy compare', 'all databases that stream'],
      ["pgconvoy compare --databases shop --tables 'public.order*'", 'some tables of one'],
      ['pgconvoy compare --json', 'for programs'],
    ],
    options: (command) =>
      command.option(
        '--tables <pattern>',
        'only these tables, as TABLE or SCHEMA.TABLE with * and ?; may be repeated',
        collect,
      ),
    runOptions: ({ tables = [] }) => Object.fromEntries(tables.map((pattern) => [tablesOption(pattern), true])),
  });
