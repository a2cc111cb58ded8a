import { AvailableExtension, availableExtensions } from '../../../postgres/catalog/extensions.ts';
import type { InstalledExtension } from '../../../postgres/catalog/extensions.ts';
import { Setting, settingsNamed } from '../../../postgres/catalog/settings.ts';
import { id } from '../../../postgres/sql.ts';
import { listed } from '../clusters/source-settings.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { answerTo } from './answers.ts';

/** The target has every extension of the database, no older, and preloads what must be preloaded. */
export const extensions: Concern = {
  name: 'extensions',
  side: 'target',
  asks: ['source', 'target'],
  async look(context) {
    const { source, targetCluster } = context;
    const installed = await answerTo(context, 'extensions');
    if (installed.length === 0) return [];
    const names = installed.map((extension) => extension.name);
    const available = await targetCluster.maintenance.many(AvailableExtension, availableExtensions(names));
    const [here] = await answerTo(context, 'preloaded');
    const there = await targetCluster.maintenance.maybe(Setting, settingsNamed(['shared_preload_libraries']));
    return [
      ...judgeAvailable(source.name, installed, available),
      ...judgePreloaded(source.name, names, libraries(here), libraries(there)),
      ...judgePartman(source.name, names),
    ];
  },
};

export function judgeAvailable(
  database: string,
  installed: readonly InstalledExtension[],
  available: readonly AvailableExtension[],
): CheckFinding[] {
  const there = new Map(available.map((extension) => [extension.name, extension]));
  return installed.flatMap(({ name, version }): CheckFinding[] => {
    const found = there.get(name);
    const place = { side: 'target', database, object: name, severity: 'block' } as const;
    if (!found) {
      return [
        {
          ...place,
          code: 'extension-missing',
          message: `Extension "${name}" ${version} of database "${database}" is not available on the target.`,
          remedy: `Install the package of "${name}" for the target's major version on its machine; or drop the extension on the source: DROP EXTENSION ${id(name).text};`,
        },
      ];
    }
    const newest = found.defaultVersion;
    if (newest === null || found.versions.includes(version) || !isOlder(newest, version)) return [];
    return [
      {
        ...place,
        code: 'extension-older',
        message: `Extension "${name}" of database "${database}" is ${version}; the target would make ${newest}, which is older.`,
        remedy: `Install a package of "${name}" with version ${version} or newer on the target's machine.`,
      },
    ];
  });
}

/** Versions are any text; numbers in them count as numbers: 1.9 is older than 1.10. */
export function isOlder(one: string, other: string): boolean {
  return one.localeCompare(other, 'en', { numeric: true }) < 0;
}

/** An extension that is preloaded goes by the name of its library, but for a few that are loaded without being preloaded. */
export function judgePreloaded(
  database: string,
  installed: readonly string[],
  source: readonly string[],
  target: readonly string[],
): CheckFinding[] {
  const lacking = source.filter((library) => installed.includes(library) && !target.includes(library));
  return lacking.map((library) => ({
    code: 'preload-missing',
    severity: 'block',
    side: 'target',
    database,
    object: library,
    message: `Extension "${library}" of database "${database}" is in shared_preload_libraries of the source and not of the target.`,
    remedy: `On the target: ALTER SYSTEM SET shared_preload_libraries = ${[...target, library].map((name) => `'${name}'`).join(', ')}; then restart it.`,
  }));
}

const judgePartman = (database: string, installed: readonly string[]): CheckFinding[] =>
  installed.includes('pg_partman')
    ? [
        {
          code: 'partition-maintenance',
          severity: 'warning',
          side: 'source',
          database,
          object: 'pg_partman',
          message: `Database "${database}" has pg_partman: partitions that it makes or drops during the upgrade do not travel.`,
          remedy:
            'Make partitions in advance (premake), then stop its background worker or cron job until the switch. Partitions made later: make them on the target too.',
        },
      ]
    : [];

/** `$libdir/pg_cron` and `pg_cron.so` are pg_cron. */
const libraries = (setting: Setting | undefined): string[] =>
  listed(setting?.value ?? '').map((library) => library.replace(/^.*\//, '').replace(/\.(so|dylib|dll)$/, ''));
