import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import {
  DeferredTrigger,
  deferredTriggers,
  TriggerState,
  triggerStates,
} from '../../postgres/catalog/deferred-triggers.ts';
import { fragment, id, join, sql } from '../../postgres/sql.ts';

const KIND = 'silent-trigger';

const Silent = z.object({
  schema: z.string(),
  table: z.string(),
  name: z.string(),
  enabled: z.enum(['A', 'R']),
  isInherited: z.boolean(),
});
type Silent = z.output<typeof Silent>;

type Context = Pick<OperationContext, 'target' | 'targetLedger' | 'settings'>;

/** Triggers of the target that would fire for rows that travel back (ENABLE ALWAYS, ENABLE REPLICA), and so do their work twice. */
export const firingTriggers = ({ target }: Pick<Context, 'target'>): Promise<DeferredTrigger[]> =>
  target.many(DeferredTrigger, deferredTriggers());

/**
 * They fire no more, until `restoreTriggers`.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html
 */
export async function silenceTriggers(context: Context): Promise<void> {
  const { target, targetLedger, settings } = context;
  const triggers = await firingTriggers(context);
  for (const { schema, table, name, enabled, isInherited } of triggers) {
    const note: Silent = { schema, table, name, enabled, isInherited };
    await targetLedger.record(keyOf(target.name, note), note);
  }
  if (triggers.length === 0) return;
  const statements = triggers.map(
    ({ schema, table, name }) => fragment`alter table ${id(schema, table)} disable trigger ${id(name)}`,
  );
  await target.run(sql`${join(statements, ';\n')}`, { lockTimeoutMs: settings.deadlines.lockTimeout });
}

export const silentTriggers = async ({ target, targetLedger }: Context): Promise<Silent[]> =>
  (await targetLedger.entries(KIND, target.name)).map(({ before }) => Silent.parse(before));

/** Whatever of them is still there fires as before. Says whether there was anything to put back. */
export async function restoreTriggers(context: Context): Promise<boolean> {
  const { target, targetLedger, settings } = context;
  const silent = await silentTriggers(context);
  if (silent.length === 0) return false;
  const present = new Set((await target.many(TriggerState, triggerStates(silent))).map(nameOf));
  const statements = silent
    .filter((trigger) => present.has(nameOf(trigger)))
    // What is said of a root is said of its partitions too.
    .toSorted((one, other) => Number(one.isInherited) - Number(other.isInherited))
    .map(({ schema, table, name, enabled }) =>
      enabled === 'A'
        ? fragment`alter table ${id(schema, table)} enable always trigger ${id(name)}`
        : fragment`alter table ${id(schema, table)} enable replica trigger ${id(name)}`,
    );
  if (statements.length > 0)
    await target.run(sql`${join(statements, ';\n')}`, { lockTimeoutMs: settings.deadlines.lockTimeout });
  for (const trigger of silent) await targetLedger.forget(keyOf(target.name, trigger));
  return true;
}

const nameOf = ({ schema, table, name }: Pick<Silent, 'schema' | 'table' | 'name'>): string =>
  JSON.stringify([schema, table, name]);

const keyOf = (database: string, { schema, table, name }: Silent) => ({
  kind: KIND,
  database,
  object: `${id(name).text} on ${id(schema, table).text}`,
});
