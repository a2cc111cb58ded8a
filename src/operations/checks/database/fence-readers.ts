import { FenceState, fenceStates } from '../../../postgres/catalog/fence.ts';
import type { WayToWrite } from '../../../postgres/catalog/ways-to-write.ts';
import { configuredReaders, waysOfReaders } from '../../cutover/readers.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** Who shall stay connected behind the fence, and could write there: the cutover would refuse to begin. */
export const fenceReaders: Concern = {
  name: 'readers behind the fence',
  side: 'source',
  async look(context) {
    const { source, sourceCluster } = context;
    const configured = await configuredReaders(context);
    const { staying } = await sourceCluster.maintenance.one(FenceState, fenceStates([source.name], configured));
    return judgeReaders(source.name, await waysOfReaders(context, staying));
  },
};

/** How many ways are told of a role. */
const TOLD = 3;

function judgeReaders(database: string, ways: readonly WayToWrite[]): CheckFinding[] {
  const roles = new Map<string, string[]>();
  for (const { role, how } of ways) roles.set(role, [...(roles.get(role) ?? []), how]);
  return [...roles].map(([role, all]) => ({
    code: 'reader-writes',
    severity: 'warning',
    side: 'source',
    database,
    object: role,
    message: `${role === 'PUBLIC' ? 'Everybody' : `Role "${role}"`} could write in database "${database}", so the readers of cutover.readers could not stay behind a fence: ${all.slice(0, TOLD).join('; ')}${all.length > TOLD ? '; and more' : ''}. The cutover refuses that before it fences.`,
    remedy:
      'On the source, in that database, REVOKE it before the cutover (CREATE on schema public from PUBLIC, up to PostgreSQL 14); or leave the role out of cutover.readers.',
  }));
}
