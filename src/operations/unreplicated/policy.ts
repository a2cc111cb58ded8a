import type { OperationContext } from '../../engine/operation.ts';
import { isAccepted } from '../../engine/finding.ts';
import { PgconvoyError } from '../../errors.ts';

/** Each class of what replication does not carry, with the finding by which check tells of it. */
export const FINDING_OF = {
  unloggedTables: 'unlogged-table',
  largeObjects: 'large-objects',
  materializedViews: 'materialized-view',
  extensionRows: 'extension-config-data',
} as const;
export type Unreplicated = keyof typeof FINDING_OF;

export type Policy = 'copy' | 'block' | 'leave';

/** What becomes of it in this database: what would block and was accepted is left behind. */
export function policyOf(
  { settings, source }: Pick<OperationContext, 'settings' | 'source'>,
  what: Unreplicated,
): Policy {
  const policy = settings.notReplicated[what];
  if (policy === 'refresh') return 'copy';
  const isWaived = isAccepted({ code: FINDING_OF[what], database: source.name }, settings.accept);
  return policy === 'block' && isWaived ? 'leave' : policy;
}

/** @throws PgconvoyError: the configuration blocks what the database holds */
export function refuseUnreplicated(
  { source }: Pick<OperationContext, 'source'>,
  what: Unreplicated,
  seen: string,
): never {
  throw new PgconvoyError(
    `${source.side}, database "${source.name}": it holds ${seen}, which replication does not carry, and the configuration blocks (notReplicated.${what})`,
    {
      hint: `Set notReplicated.${what}: copy, or leave; or accept the finding ${FINDING_OF[what]}, with the reason. Then retry the step.`,
    },
  );
}
