import type { Plan } from '../engine/plan.ts';
import { plannedIdentities } from '../runtime/planned-identities.ts';
import type { PlannedIdentities } from '../runtime/planned-identities.ts';
import { renderIdentities } from './render/identities.ts';
import { plural } from './render/text.ts';
import type { Servers } from './servers.ts';
import type { Preview } from './start-run.ts';

/** Whether a plan has the step that gives tables a replica identity. */
export const setsIdentities = (plan: Plan): boolean =>
  plan.stages.some(
    (stage) =>
      stage.kind !== 'gate' &&
      stage.steps.some(({ operation, policy }) => operation === 'set-replica-identity' && policy.direction !== 'undo'),
  );

/** What fix would do to each table of these databases. */
export const readIdentities = (
  { clusters }: Servers,
  databases: readonly { readonly name: string }[],
): Promise<PlannedIdentities> => plannedIdentities(clusters, databases, new AbortController().signal);

/** What a run shows that does fix among other things: the configuration has been asked already, and its --yes means something else. */
export const showIdentities = async (
  servers: Servers,
  databases: readonly { readonly name: string }[],
): Promise<Preview> => ({
  ...(await previewIdentities(servers, databases)),
  question: undefined,
  mustAgree: false,
});

/** What fix shows before it begins. A key column changes what applications see: it needs a person's word. */
export async function previewIdentities(
  servers: Servers,
  databases: readonly { readonly name: string }[],
): Promise<Preview> {
  const planned = await readIdentities(servers, databases);
  const changes = planned.tables.filter(({ choice }) => choice !== 'skip' && choice !== 'nothing');
  const keys = changes.filter(({ choice }) => choice.startsWith('surrogate-key'));
  const key = keys.length === 0 ? '' : `, with a key column in ${keys.length === 1 ? 'one' : keys.length} of them`;
  return {
    render: (style, width) => renderIdentities(planned, style, width),
    question:
      changes.length === 0 ? undefined : `Give ${plural(changes.length, 'table')} a replica identity as said${key}?`,
    mustAgree: keys.length > 0,
    document: { identities: planned },
  };
}
