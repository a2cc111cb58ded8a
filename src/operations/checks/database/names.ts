import type { StrayObject } from '../../../postgres/catalog/database-facts.ts';
import { SettingName, unknownSettings } from '../../../postgres/catalog/settings.ts';
import type { DatabaseSetting } from '../../../postgres/catalog/settings.ts';
import { id } from '../../../postgres/sql.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { answerTo } from './answers.ts';

/** Nobody else uses the schema name that is ours: what is in it is left out of everything. */
export const reservedSchema: Concern = {
  name: 'the schema pgconvoy',
  side: 'source',
  async look(context) {
    return judgeReservedSchema(context.source.name, await answerTo(context, 'strayObjects'));
  },
};

export function judgeReservedSchema(database: string, objects: readonly StrayObject[]): CheckFinding[] {
  if (objects.length === 0) return [];
  const shown = objects.slice(0, 5).map(({ kind, name }) => `${kind} "${name}"`);
  const more = objects.length > shown.length ? ` and ${objects.length - shown.length} more` : '';
  return [
    {
      code: 'reserved-schema',
      severity: 'block',
      side: 'source',
      database,
      object: 'pgconvoy',
      message: `Schema pgconvoy in database "${database}" holds what is not pgconvoy's: ${shown.join(', ')}${more}. It would be left behind.`,
      remedy: `On the source: ALTER SCHEMA pgconvoy RENAME TO …; or ALTER … SET SCHEMA for each of them.`,
    },
  ];
}

/** What ALTER DATABASE … SET says, the target understands. */
export const databaseSettings: Concern = {
  name: 'settings of the database',
  side: 'target',
  asks: ['source', 'target'],
  async look(context) {
    const { source, targetCluster } = context;
    const made = await answerTo(context, 'settings');
    if (made.length === 0) return [];
    const names = made.map((setting) => setting.name);
    const unknown = await targetCluster.maintenance.many(SettingName, unknownSettings(names));
    return judgeDatabaseSettings(source.name, made, new Set(unknown.map((setting) => setting.name)));
  },
};

export const judgeDatabaseSettings = (
  database: string,
  made: readonly DatabaseSetting[],
  unknown: ReadonlySet<string>,
): CheckFinding[] =>
  made
    .filter(({ name }) => unknown.has(name))
    .map(({ role, name }) => {
      const place =
        role === null
          ? `ALTER DATABASE ${id(database).text}`
          : `ALTER ROLE ${id(role).text} IN DATABASE ${id(database).text}`;
      return {
        code: 'setting-unknown',
        severity: 'warning',
        side: 'target',
        database,
        object: name,
        message: `${place} sets ${name}, which the target does not know; it cannot be carried.`,
        remedy: `If nobody needs it, on the source: ${place} RESET ${name};`,
      };
    });
