import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { Tablespace, tablespaces as allTablespaces } from '../../../postgres/catalog/server.ts';
import { id } from '../../../postgres/sql.ts';

/** Tablespaces that the databases of the run use are on the target too. */
export const tablespaces: Concern = {
  name: 'tablespaces',
  side: 'target',
  asks: ['source', 'target'],
  async look({ source, target, run }) {
    return judgeTablespaces(
      await source.many(Tablespace, allTablespaces()),
      await target.many(Tablespace, allTablespaces()),
      run.databases,
    );
  },
};

export function judgeTablespaces(
  source: readonly Tablespace[],
  target: readonly Tablespace[],
  databases: readonly string[],
): CheckFinding[] {
  const there = new Set(target.map((tablespace) => tablespace.name));
  const moved = new Set(databases);
  return source.flatMap(({ name, databases: users }): CheckFinding[] => {
    const used = users.filter((database) => moved.has(database));
    if (used.length === 0 || there.has(name)) return [];
    return [
      {
        code: 'tablespace-missing',
        severity: 'warning',
        side: 'target',
        object: name,
        message: `Tablespace "${name}", in use by ${used.map((database) => `"${database}"`).join(', ')}, does not exist on the target: what is in it goes to pg_default.`,
        remedy: `To keep it, make its folder on the target's machine, then: CREATE TABLESPACE ${id(name).text} LOCATION '…';`,
      },
    ];
  });
}
