import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { ConfigError, errorText } from '../../errors.ts';
import { ddlDirectly } from '../../runtime/directly.ts';
import { action, command } from '../command.ts';
import { codeOf, doneDocument, runDirectly } from '../direct-command.ts';
import { renderDdl } from '../render/direct.ts';
import { whoAmI } from '../../runtime/who.ts';

interface DdlOptions {
  readonly all?: boolean;
  readonly file?: string;
}

export const ddl = (): Command =>
  command({
    name: 'ddl',
    summary: 'change tables on both sides while rows stream',
    description:
      'Runs statements on source and target so that no row on its way meets the wrong table: in one transaction on each side, with short ' +
      'waits for locks. New tables are copied and travel from then on. Where it was broken off between the two sides, run it again. ' +
      'Takes CREATE, ALTER, DROP, COMMENT, GRANT and REVOKE; names without a schema are looked for where psql would look on the source.',
    examples: [
      ['pgconvoy ddl orders -- "ALTER TABLE items ADD COLUMN note text"', 'one database'],
      ['pgconvoy ddl --all -- "CREATE TABLE audit (id bigint PRIMARY KEY)"', 'every database that takes part'],
      ['pgconvoy ddl orders --file migration.sql', 'several statements: all of them or none'],
    ],
  })
    .argument('[database]', 'the database; not with --all')
    .argument('[statement]', 'one or more statements, as one argument behind --')
    .option('--all', 'in every database that takes part (--databases and --exclude choose)')
    .option('--file <file>', 'read the statements from a file; - reads stdin')
    .action(
      action<DdlOptions>(async (invocation, ...words) => {
        const { terminal, options } = invocation;
        const { database, text } = await meant(words, options);
        const results = await runDirectly(invocation, database, (clusters, directly) =>
          ddlDirectly(clusters, { ...directly, text, by: whoAmI() }),
        );
        const code = codeOf(results);
        terminal.print(renderDdl(results, terminal.style, terminal.width));
        terminal.document({ ok: code === 0, code, databases: results.map(doneDocument) });
        return code;
      }),
    );

/** Which of the words is which: with --all there is no database, with --file no statement. */
async function meant(
  [first, second]: readonly (string | undefined)[],
  { all, file }: DdlOptions,
): Promise<{ readonly database: string | undefined; readonly text: string }> {
  const [database, statement] = all ? [undefined, first] : [first, second];
  if (
    (all && second !== undefined) ||
    (!all && database === undefined) ||
    (file !== undefined) === (statement !== undefined)
  ) {
    throw new ConfigError('a database (or --all) and a statement (or --file) are needed', {
      hint: 'pgconvoy ddl orders -- "ALTER TABLE …", pgconvoy ddl --all -- "…", or pgconvoy ddl orders --file migration.sql',
    });
  }
  return { database, text: statement ?? (await textOf(file!)) };
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file === '-' ? '/dev/stdin' : file, 'utf8');
  } catch (error) {
    throw new ConfigError(`the file cannot be read: ${errorText(error)}`, { hint: 'See the path given to --file.' });
  }
}
