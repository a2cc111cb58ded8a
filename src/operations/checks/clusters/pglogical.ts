import { PglogicalServer, pglogicalServer } from '../../../postgres/catalog/pglogical.ts';
import type { Side } from '../../../postgres/cluster.ts';
import type { CheckPoint, Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { listed } from './source-settings.ts';

/** The server has pglogical, and loads it at its start. */
export const pglogical = (side: Side): Concern => ({
  name: `pglogical on the ${side}`,
  side,
  async look(context) {
    const cluster = context[`${side}Cluster`];
    const { major } = await cluster.facts();
    return judgePglogical(side, major, await cluster.maintenance.one(PglogicalServer, pglogicalServer()));
  },
});

export function judgePglogical(side: Side, major: number, server: PglogicalServer): CheckPoint[] {
  const { version, preloaded, libraries } = server;
  const missing: CheckFinding[] = [];
  if (version === null) {
    missing.push({
      code: 'pglogical-missing',
      severity: 'block',
      side,
      message: `The extension pglogical is not available on the ${side}.`,
      remedy: `Install it on its machine (Debian: apt-get install postgresql-${major}-pglogical; Red Hat: dnf install pglogical_${major}); or set engine: native (source 10 and later).`,
    });
  }
  const unloaded: CheckFinding[] = [];
  if (!preloaded) {
    const wanted = [...listed(libraries).filter((name) => name !== 'pglogical'), 'pglogical'];
    unloaded.push({
      code: 'pglogical-not-preloaded',
      severity: 'block',
      side,
      object: 'shared_preload_libraries',
      message: `shared_preload_libraries of the ${side} is "${libraries}"; pglogical works only where it is loaded at the start.`,
      remedy: `On the ${side}: ALTER SYSTEM SET shared_preload_libraries = ${wanted.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ')}; then restart it.`,
    });
  }
  return [
    { id: 'pglogical', title: 'pglogical', ...(version === null ? {} : { detail: version }), findings: missing },
    { id: 'shared-preload-libraries', title: 'shared_preload_libraries', detail: libraries, findings: unloaded },
  ];
}
