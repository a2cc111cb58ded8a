import { id } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import type { IdentityChoice } from './identity.ts';

/** The lines of the configuration that ask for a key column in these tables. */
export function keyRules(tables: readonly (TableName & { readonly database: string })[]): string {
  // Double quotes are YAML's as well as JSON's; a ${ would be taken for a variable.
  const word = (text: string) => JSON.stringify(text).replaceAll('${', () => '$${');
  const rules = tables.map(
    ({ database, schema, name }) =>
      `    - { database: ${word(database)}, table: ${word(`${schema}.${name}`)}, choice: surrogate-key }`,
  );
  return ['fix:', '  tables:', ...rules].join('\n');
}

/** What a person can do about a table for which nothing can be chosen. */
export function remedyFor(
  database: string,
  table: TableName,
  { key }: Extract<IdentityChoice, { by: 'nothing' }>,
): string {
  const primaryKey = `ALTER TABLE ${id(table.schema, table.name).text} ADD PRIMARY KEY (…);`;
  return key
    ? `Put these lines into the configuration to have pgconvoy fix add a key column (pgconvoy plan fix says what it costs):\n${keyRules([{ database, schema: table.schema, name: table.name }])}\nOr add a key of your own: ${primaryKey} Or leave "${database}" out with databases.exclude.`
    : `Add a key of your own: ${primaryKey} Or leave "${database}" out with databases.exclude.`;
}
