import { isAsked } from '../concern.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { ConfigError } from '../../../errors.ts';
import type { ProgramVersion } from '../../../postgres/programs.ts';

/** pg_dump can read the source, and writes what the target understands. */
export const clientTools: Concern = {
  name: 'client tools',
  side: 'here',
  async look({ programs, sourceCluster, targetCluster, run: { options } }) {
    const source = isAsked('source', options) ? (await sourceCluster.facts()).major : undefined;
    const target = isAsked('target', options) ? (await targetCluster.facts()).major : undefined;
    try {
      const tools = await programs.version();
      return [
        {
          id: 'client-tools',
          title: 'client tools',
          detail: `pg_dump ${tools.version} in ${tools.bin}`,
          findings: judgeClientTools(tools, source, target),
        },
      ];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return [{ code: 'client-tools', severity: 'block', side: 'target', message: error.message, remedy: error.hint }];
    }
  },
};

/** A server that was not asked is of any version. */
export function judgeClientTools(tools: ProgramVersion, source = 0, target = tools.major): CheckFinding[] {
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
