import type { Settings } from '../../../config/schema.ts';
import type { Amount } from '../../../postgres/catalog/contents.ts';
import { FilledTable, filledConfigTables } from '../../../postgres/catalog/extensions.ts';
import type { UserTable } from '../../../postgres/catalog/tables.ts';
import { id } from '../../../postgres/sql.ts';
import type { FINDING_OF, Unreplicated } from '../../unreplicated/policy.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { answerTo } from './answers.ts';
import { judgeForeignServers } from './tables.ts';

/** Rows that no publication carries, and what becomes of them. */
export const uncarriedRows: Concern = {
  name: 'what replication does not carry',
  side: 'source',
  async look(context) {
    const { source, settings } = context;
    const { name } = source;
    const policies = settings.notReplicated;
    const [largeObjects] = await answerTo(context, 'largeObjects');
    const [views] = await answerTo(context, 'materializedViews');
    return [
      ...judgeUnlogged(name, await answerTo(context, 'tables'), policies),
      ...judgeLargeObjects(name, largeObjects, policies),
      ...judgeMaterializedViews(name, views, policies),
      ...judgeForeignServers(name, await answerTo(context, 'foreignServers')),
    ];
  },
};

/** Rows of users in tables of extensions are in no publication. */
export const extensionData: Concern = {
  name: 'rows in tables of extensions',
  side: 'source',
  async look(context) {
    const { source, settings } = context;
    const tables = await answerTo(context, 'configTables');
    if (tables.length === 0) return [];
    const filled = await source.many(FilledTable, filledConfigTables(tables));
    return judgeConfigTables(source.name, filled, settings.notReplicated);
  },
};

type Policies = Settings['notReplicated'];

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1_048_576)} MB`;

/** What becomes of it by the configuration: the end of the message, severity and remedy. */
function fate<K extends Unreplicated>(
  policies: Policies,
  kind: K,
  words: {
    readonly code: (typeof FINDING_OF)[K];
    readonly carried: string;
    readonly left: string;
    readonly remedy?: string;
  },
): Pick<CheckFinding, 'code' | 'severity' | 'side' | 'remedy'> & { readonly end: string } {
  const finding = { code: words.code, side: 'source' } as const;
  const also = words.remedy === undefined ? '' : ` ${words.remedy}`;
  switch (policies[kind]) {
    case 'copy':
    case 'refresh':
      return {
        ...finding,
        severity: 'warning',
        end: words.carried,
        remedy: `Nothing to do. Where nobody needs that, or it takes too long, in the configuration: notReplicated: { ${kind}: leave }.${also}`,
      };
    case 'leave':
      return {
        ...finding,
        severity: 'warning',
        end: `${words.left}, as the configuration has it (notReplicated.${kind}: leave)`,
        remedy: `To have it carried over: notReplicated: { ${kind}: ${kind === 'materializedViews' ? 'refresh' : 'copy'} }.${also}`,
      };
    case 'block':
      return {
        ...finding,
        severity: 'block',
        end: `and the configuration blocks that (notReplicated.${kind}: block)`,
        remedy: `To have it carried over: notReplicated: { ${kind}: copy }; to leave it behind, with the reason: accept: [{ finding: ${finding.code}, reason: '…' }].${also}`,
      };
    default:
      return policies[kind] satisfies never;
  }
}

export const judgeUnlogged = (database: string, tables: readonly UserTable[], policies: Policies): CheckFinding[] =>
  tables
    .filter((table) => table.persistence === 'u' && table.kind === 'r')
    .map((table) => {
      const name = id(table.schema, table.name).text;
      const { end, ...finding } = fate(policies, 'unloggedTables', {
        code: 'unlogged-table',
        carried: 'they are copied inside the outage',
        left: 'they stay behind',
        remedy: `Or have it replicated: ALTER TABLE ${name} SET LOGGED; (rewrites it under an exclusive lock).`,
      });
      return {
        ...finding,
        database,
        object: `${table.schema}.${table.name}`,
        message: `Table ${name} in database "${database}" is unlogged (${megabytes(table.bytes)}): replication does not carry its rows; ${end}.`,
      };
    });

export function judgeLargeObjects(database: string, amount: Amount | undefined, policies: Policies): CheckFinding[] {
  if (!amount || amount.count === 0) return [];
  const { end, ...finding } = fate(policies, 'largeObjects', {
    code: 'large-objects',
    carried:
      'they are copied while rows stream, and inside the outage those that have changed since; for that their pages are read once',
    left: 'they stay behind',
    remedy: 'Orphaned ones go with vacuumlo.',
  });
  return [
    {
      ...finding,
      database,
      message: `Database "${database}" holds large objects (${amount.count}, ${megabytes(amount.bytes)}), which replication does not carry; ${end}.`,
    },
  ];
}

export function judgeMaterializedViews(
  database: string,
  amount: Amount | undefined,
  policies: Policies,
): CheckFinding[] {
  if (!amount || amount.count === 0) return [];
  const { end, ...finding } = fate(policies, 'materializedViews', {
    code: 'materialized-view',
    carried: 'they are computed anew inside the outage',
    left: 'on the target they hold nothing until somebody refreshes them',
  });
  return [
    {
      ...finding,
      database,
      message: `Database "${database}" has materialized views (${amount.count}, ${megabytes(amount.bytes)}), whose rows replication does not carry; ${end}.`,
    },
  ];
}

export const judgeConfigTables = (
  database: string,
  filled: readonly FilledTable[],
  policies: Policies,
): CheckFinding[] =>
  filled.map(({ extension, schema, name, rows }) => {
    const { end, ...finding } = fate(policies, 'extensionRows', {
      code: 'extension-config-data',
      carried: 'they are copied inside the outage, without the triggers of the extension',
      left: 'they stay behind',
    });
    return {
      ...finding,
      database,
      object: `${schema}.${name}`,
      message: `Table ${id(schema, name).text} of extension "${extension}" in database "${database}" holds rows of users (${rows}), which replication does not carry; ${end}.`,
    };
  });
