import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  DeferredTrigger,
  deferredTriggers,
  EventTrigger,
  eventTriggers,
  TriggerState,
  triggerStates,
} from '../../postgres/catalog/deferred-triggers.ts';
import type { Database } from '../../postgres/database.ts';
import { fragment, id, join, lit, sql, trusted } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { notFenced } from '../cutover/await-lsn.ts';
import { holdingFences } from '../cutover/fence.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { pairOf } from '../replication/pair.ts';
import { restoreTriggers, silentTriggers } from '../reverse/silent-triggers.ts';

/** A target that does not answer keeps no fence up, milliseconds. */
const HELD_MOST_MS = 5_000;

type Missing =
  | {
      readonly kind: 'trigger';
      readonly schema: string;
      readonly table: string;
      readonly name: string;
      readonly exists: boolean;
    }
  | { readonly kind: 'event trigger'; readonly name: string; readonly exists: boolean }
  /** Triggers of a target that rows have travelled back to. */
  | { readonly kind: 'silent triggers'; readonly name: string };

const STATE: Readonly<Record<EventTrigger['enabled'], Fragment>> = {
  O: fragment`enable`,
  D: fragment`disable`,
  A: fragment`enable always`,
  R: fragment`enable replica`,
};

/**
 * Triggers that fire while rows are applied (ENABLE ALWAYS, ENABLE REPLICA) and event triggers: made when the last row is on the
 * target, since before they would do their work a second time. Read from the catalog, because a dump takes too long in the outage.
 * @see https://www.postgresql.org/docs/current/logical-replication-architecture.html
 */
export const createDeferredTriggers = defineOperation({
  name: 'create-deferred-triggers',
  title: 'Triggers that fire during replication and event triggers are those of the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ triggers: z.int(), eventTriggers: z.int() }),

  async check(context) {
    const { source, target } = context;
    const [triggers, events] = await wantedOf(source);
    // From its opening on the applications change it as they like.
    if (await openedDatabase(context)) return holds({ triggers: triggers.length, eventTriggers: events.length });
    const silent = await silentTriggers(context);
    const [states, present] = [
      triggers.length === 0 ? [] : await target.many(TriggerState, triggerStates(triggers)),
      events.length === 0 ? [] : await target.many(EventTrigger, eventTriggers()),
    ];
    const stateOf = new Map(states.map((each) => [keyOf(each), each.enabled]));
    const presentOf = new Map(present.map((each) => [each.name, each]));
    const missing: Missing[] = [
      ...silent.map(({ name }) => ({ kind: 'silent triggers' as const, name })),
      ...triggers
        .filter((trigger) => stateOf.get(keyOf(trigger)) !== trigger.enabled)
        .map(({ schema, table, name }) => ({
          kind: 'trigger' as const,
          schema,
          table,
          name,
          exists: stateOf.has(keyOf({ schema, table, name })),
        })),
      ...events
        .filter(({ name, enabled }) => presentOf.get(name)?.enabled !== enabled)
        .map(({ name }) => ({ kind: 'event trigger' as const, name, exists: presentOf.has(name) })),
    ];
    return missing.length > 0 ? lacks(missing) : holds({ triggers: triggers.length, eventTriggers: events.length });
  },

  async apply(context, missing: readonly Missing[]) {
    const { source, target, settings } = context;
    const [triggers, events] = await wantedOf(source);
    if (missing.some(({ kind }) => kind === 'silent triggers'))
      await whileNoRowsCome(context, () => restoreTriggers(context));
    const missed = new Map(missing.map((each) => [missingKey(each), each]));
    const statements = [
      // Partitions get theirs with the trigger of their root.
      ...triggers
        .toSorted((one, other) => Number(one.isInherited) - Number(other.isInherited))
        .flatMap((trigger) => {
          const lacking = missed.get(missingKey({ kind: 'trigger', ...trigger }));
          return lacking && 'exists' in lacking ? triggerStatements(trigger, lacking.exists) : [];
        }),
      ...events.flatMap((event) => {
        const lacking = missed.get(missingKey({ kind: 'event trigger', ...event }));
        return lacking && 'exists' in lacking ? eventTriggerStatements(event, lacking.exists) : [];
      }),
    ];
    if (statements.length === 0) return;
    // Several statements in one message: they commit together.
    await whileNoRowsCome(context, () =>
      target.run(sql`${join(statements, ';\n')}`, { lockTimeoutMs: settings.deadlines.lockTimeout }),
    );
  },

  undo: dropDeferredTriggers,
});

/**
 * Where the target is sent rows, only behind the fence, whose note is held meanwhile: who takes it down holds it as well, and finds what
 * was made here.
 * @throws PgconvoyError where this run has no fence
 */
async function whileNoRowsCome(context: OperationContext, body: () => Promise<unknown>): Promise<void> {
  const { engine, source, sourceLedger } = context;
  const { enabled } = await engine.subscription(pairOf(context));
  if (!enabled) return void (await body());
  const refused = () => notFenced(context, ['its note']);
  if (!(await sourceLedger.exists())) throw refused();
  await holdingFences(context, [source.name], body, { refused, mostMs: HELD_MOST_MS });
}

/** Takes back what `create-deferred-triggers` made, and says whether there was anything of it. */
export async function dropDeferredTriggers({
  source,
  target,
  settings,
}: Pick<OperationContext, 'source' | 'target' | 'settings'>): Promise<boolean> {
  const [triggers, events] = await wantedOf(source);
  const states = triggers.length === 0 ? [] : await target.many(TriggerState, triggerStates(triggers));
  const fires = new Set(states.filter(({ enabled }) => enabled === 'A' || enabled === 'R').map(keyOf));
  const names = new Set(events.map((each) => each.name));
  const found = events.length === 0 ? [] : await target.many(EventTrigger, eventTriggers());
  const present = found.filter(({ name }) => names.has(name));
  const statements = [
    ...present.map(({ name }) => fragment`drop event trigger ${id(name)}`),
    ...triggers
      .filter((trigger) => fires.has(keyOf(trigger)))
      .toSorted((one, other) => Number(other.isInherited) - Number(one.isInherited))
      .map(({ schema, table, name, isInherited }) =>
        isInherited
          ? fragment`alter table ${id(schema, table)} enable trigger ${id(name)}`
          : fragment`drop trigger if exists ${id(name)} on ${id(schema, table)}`,
      ),
  ];
  if (statements.length === 0) return false;
  // Several statements in one message: they commit together.
  await target.run(sql`${join(statements, ';\n')}`, { lockTimeoutMs: settings.deadlines.lockTimeout });
  return true;
}

/** Whether `create-deferred-triggers` has anything to make. */
export async function wantsDeferredTriggers({ source }: Pick<OperationContext, 'source'>): Promise<boolean> {
  const [triggers, events] = await wantedOf(source);
  return triggers.length > 0 || events.length > 0;
}

const wantedOf = (source: Database) =>
  Promise.all([source.many(DeferredTrigger, deferredTriggers()), source.many(EventTrigger, eventTriggers())]);

const keyOf = ({ schema, table, name }: { schema: string; table: string; name: string }): string =>
  JSON.stringify([schema, table, name]);

const missingKey = (each: Pick<Missing, 'kind' | 'name'> & { schema?: string; table?: string }): string =>
  JSON.stringify([each.kind, each.schema, each.table, each.name]);

function triggerStatements(trigger: DeferredTrigger, exists: boolean): Fragment[] {
  const { schema, table, name, definition, enabled, isInherited, comment } = trigger;
  return [
    ...(exists || isInherited ? [] : [trusted(definition)]),
    fragment`alter table ${id(schema, table)} ${STATE[enabled]} trigger ${id(name)}`,
    ...(comment === null || isInherited
      ? []
      : [fragment`comment on trigger ${id(name)} on ${id(schema, table)} is ${lit(comment)}`]),
  ];
}

function eventTriggerStatements(event: EventTrigger, exists: boolean): Fragment[] {
  const name = id(event.name);
  const when = event.tags === null ? fragment`` : fragment` when tag in (${join(event.tags.map((tag) => lit(tag)))})`;
  return [
    ...(exists
      ? []
      : [
          fragment`create event trigger ${name} on ${id(event.event)}${when} execute procedure ${trusted(event.function)}`,
          // It would fire for what comes next.
          fragment`alter event trigger ${name} disable`,
        ]),
    fragment`alter event trigger ${name} owner to ${id(event.owner)}`,
    ...(event.comment === null ? [] : [fragment`comment on event trigger ${name} is ${lit(event.comment)}`]),
    fragment`alter event trigger ${name} ${STATE[event.enabled]}`,
  ];
}
