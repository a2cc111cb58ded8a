import type { Command } from 'commander';
import { ConfigError, ExitCode } from '../../errors.ts';
import { resyncDirectly } from '../../runtime/directly.ts';
import { action, command } from '../command.ts';
import { codeOf, doneDocument, runDirectly } from '../direct-command.ts';
import { renderResync } from '../render/direct.ts';

interface ResyncOptions {
  readonly all?: boolean;
  readonly table?: readonly string[];
}

const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

export const resync = (): Command =>
  command({
    name: 'resync',
    summary: 'bring the target to what the source is now, only where they differ',
    description:
      'Makes on the target what somebody has made on the source without pgconvoy ddl (tables, indexes, functions, views), copies new tables ' +
      'and lets them travel, and says what only a person can bring together. With --table those tables are emptied on the target and copied ' +
      'anew, while all others go on. Ends with 3 as long as something is left that blocks the cutover.',
    examples: [
      ['pgconvoy resync orders', 'take in what is new'],
      ['pgconvoy resync orders --table public.items', 'copy the rows of one table again'],
      ['pgconvoy resync --all', 'every database that takes part'],
    ],
  })
    .argument('[database]', 'the database; not with --all')
    .option('--all', 'in every database that takes part (--databases and --exclude choose)')
    .option('--table <name>', 'copy this table anew, named as schema.table; may be repeated', collect)
    .action(
      action<ResyncOptions>(async (invocation, database) => {
        const { terminal, options } = invocation;
        if ((database === undefined) === (options.all !== true) || (options.all && options.table)) {
          throw new ConfigError('a database is needed, or --all without --table', {
            hint: 'pgconvoy resync orders, pgconvoy resync orders --table public.items, or pgconvoy resync --all',
          });
        }
        const results = await runDirectly(invocation, database, (clusters, directly) =>
          resyncDirectly(clusters, { ...directly, tables: options.table ?? [] }),
        );
        const blocks = results.some(
          (done) => done.ok && done.outcome.findings.some(({ severity }) => severity === 'block'),
        );
        const failed = codeOf(results);
        const code = failed === ExitCode.ok && blocks ? ExitCode.findings : failed;
        terminal.print(renderResync(results, terminal.style, terminal.width));
        terminal.document({ ok: code === 0, code, databases: results.map(doneDocument) });
        return code;
      }),
    );
