import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { ConfigError } from '../../../errors.ts';
import type { ProgramVersion } from '../../../postgres/programs.ts';

/** pg_dump can read the source, and writes what the target understands. */
export const clientTools: Concern = {
  name: 'client tools',
  side: 'here',
  asks: ['source', 'target'],
  async look({ programs, sourceCluster, targetCluster }) {
    const [source, target] = [await sourceCluster.facts(), await targetCluster.facts()];
    try {
      const tools = await programs.version();
      return [
        {
          id: 'client-tools',
          title: 'client tools',
          detail: `pg_dump ${tools.version} in ${tools.bin}`,
          findings: judgeClientTools(tools, source.major, target.major),
        },
      ];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return [{ code: 'client-tools', severity: 'block', side: 'target', message: error.message, remedy: error.hint }];
    }
  },
};

export function judgeClientTools(tools: ProgramVersion, source: number, target: number): CheckFinding[] {
  const tooOld = tools.major < source;
  if (tools.major === target && !tooOld) return [];
  return [
    {
      code: 'client-tools',
      severity: tooOld ? 'block' : 'warning',
      side: 'target',
      object: 'pg_dump',
      message: tooOld
        ? `pg_dump in ${tools.bin} is ${tools.version}: it refuses a server newer than itself, and the source is PostgreSQL ${source}.`
        : `pg_dump in ${tools.bin} is ${tools.version}; the target is PostgreSQL ${target}, whose own pg_dump fits best.`,
      remedy: `Install the client programs of PostgreSQL ${Math.max(source, target)}, or name their folder with tools.bin.`,
    },
  ];
}
