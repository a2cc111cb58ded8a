import {
  Count,
  deferrableKeys,
  foreignKeys,
  generatedColumns,
  TableColumns,
  TableIndex,
} from '../../../postgres/catalog/pglogical.ts';
import { id } from '../../../postgres/sql.ts';
import { foreignNodeOf } from '../../../replication/pglogical/nodes.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** Tables that pglogical cannot carry, though another engine may. */
export const pglogicalLimits: Concern = {
  name: 'what pglogical cannot carry',
  side: 'source',
  async look({ source }) {
    const { generated, deferrable, foreign } = await source.together({
      generated: { row: TableColumns, query: generatedColumns() },
      deferrable: { row: TableIndex, query: deferrableKeys() },
      foreign: { row: Count, query: foreignKeys() },
    });
    return [
      ...judgeGenerated(source.name, generated),
      ...judgeDeferrable(source.name, deferrable),
      ...judgeForeignKeys(source.name, foreign[0]?.count ?? 0),
    ];
  },
};

export const judgeGenerated = (database: string, tables: readonly TableColumns[]): CheckFinding[] =>
  tables.map(({ schema, name, columns }) => {
    const table = id(schema, name).text;
    const which = columns.map((column) => id(column).text).join(', ');
    return {
      code: 'generated-column',
      severity: 'block',
      side: 'source',
      database,
      object: `${schema}.${name}`,
      message: `Table ${table} in database "${database}" has generated columns (${which}): pglogical's worker would crash the whole target server at its first row.`,
      remedy: `Set engine: native in the configuration, which carries them; or leave "${database}" out with databases.exclude.`,
    };
  });

export const judgeDeferrable = (database: string, keys: readonly TableIndex[]): CheckFinding[] =>
  keys.map(({ schema, name, index }) => {
    const table = id(schema, name).text;
    const constraint = id(index).text;
    return {
      code: 'deferrable-key',
      severity: 'block',
      side: 'source',
      database,
      object: `${schema}.${name}`,
      message: `Constraint ${constraint} of ${table} in database "${database}" is DEFERRABLE: pglogical stops at the first row of that table.`,
      remedy: `Set engine: native in the configuration; or on the source drop the constraint and add it NOT DEFERRABLE: ALTER TABLE ${table} DROP CONSTRAINT ${constraint}, ADD …;`,
    };
  });

export const judgeForeignKeys = (database: string, count: number): CheckFinding[] =>
  count === 0
    ? []
    : [
        {
          code: 'truncate-with-foreign-keys',
          severity: 'warning',
          side: 'source',
          database,
          message: `Database "${database}" has foreign keys (${count}): pglogical carries a TRUNCATE table by table, and stops where a foreign key leads to the table.`,
          remedy:
            'Until the switch, use DELETE instead of TRUNCATE on tables that others refer to. Where it has happened: drop that foreign key on the target, and make it again when the TRUNCATE is through.',
        },
      ];

/** A node of somebody else, by which the rows travel too. */
export const foreignNode: Concern = {
  name: 'pglogical nodes of others',
  side: 'source',
  look: async ({ source }) => judgeNode(source.name, await foreignNodeOf(source)),
};

export const judgeNode = (database: string, node: string | undefined): CheckFinding[] =>
  node === undefined
    ? []
    : [
        {
          code: 'pglogical-node',
          severity: 'warning',
          side: 'source',
          database,
          object: node,
          message: `Database "${database}" is pglogical node "${node}" already: pgconvoy gives it a replication set of its own beside those that are there, and takes only that away again.`,
          remedy:
            'Nothing to do. Subscriptions of others to it are not moved: make them anew on the target after the switch.',
        },
      ];
