import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { sql } from '../../postgres/sql.ts';
import { pairOf } from '../replication/pair.ts';
import { eachOf } from './each-of.ts';
import { letGo, letIn, letsIn } from './let-in.ts';
import { Opened, hasLeftSource, openedKey } from './opened.ts';

/**
 * A database that was decided for the target is open there: who is stopped between the two would leave it on neither side. What was not
 * decided is left alone.
 */
export const finishOpening = defineOperation({
  name: 'finish-opening',
  title: 'What was decided for the target is open there',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ opened: z.boolean() }),

  async check(context) {
    const decided = await hasLeftSource(context);
    return decided && !(await letsIn(context))
      ? lacks([{ database: context.source.name }])
      : holds({ opened: decided });
  },

  apply: (context) => openDecided([context]),
});

/**
 * Replication is off and applications are let in, in that order: from the decision on this is all that is left to do.
 * @param contexts of databases that were decided, of one run
 */
export async function openDecided(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  await endReplication(contexts);
  const { sourceLedger, targetLedger, log } = first;
  const { kind } = openedKey('');
  const names = contexts.map(({ source }) => source.name);
  const notes = new Map(
    (await sourceLedger.entriesOn(names, [kind])).map(({ database, before }) => [database, before]),
  );
  const decided = new Map(names.map((name) => [name, Opened.parse(notes.get(name))]));
  // Noted before anybody is in: from then on nothing of ours changes the databases, whoever tries the step again.
  await targetLedger.replaceAll(kind, decided);
  await letIn(contexts, async (open) => {
    const opened = await timed(first, new Map(open.map((name) => [name, decided.get(name)!])));
    await Promise.all([targetLedger.replaceAll(kind, opened), sourceLedger.replaceAll(kind, opened)]);
    await letGo(first, open);
    for (const [database, note] of opened) log.info({ database, ...note }, 'open on the target');
  });
}

/** What is known to be off needs no session. */
async function endReplication(contexts: readonly OperationContext[]): Promise<void> {
  const { engine, targetCluster } = contexts[0]!;
  const names = contexts.map(({ target }) => target.name);
  const enabled = new Map(
    (await engine.overview(targetCluster, names)).map((each) => [each.database, each.enabled] as const),
  );
  const on = contexts.filter(({ target }) => enabled.get(target.name) !== false);
  await eachOf(on, async (context) => {
    const pair = pairOf(context);
    if (enabled.get(context.target.name) ?? (await engine.subscription(pair)).enabled) await engine.disable(pair);
  });
}

const Now = z.object({ database: z.string(), openedAt: z.string(), outageMs: z.number() });

/** Their outages end at this moment, by the clock that has seen them begin. */
async function timed(
  { sourceCluster }: OperationContext,
  decided: ReadonlyMap<string, Opened>,
): Promise<ReadonlyMap<string, Opened>> {
  const fencedAt = [...decided.values()].map((each) => each.fencedAt);
  const times = await sourceCluster.maintenance.many(
    Now,
    sql`select f.database, n.now::text as "openedAt", round(extract(epoch from n.now - f.at::timestamptz) * 1000)::float8 as "outageMs"
          from (select clock_timestamp() as now) n, unnest(${[...decided.keys()]}::text[], ${fencedAt}::text[]) f (database, at)`,
  );
  return new Map(times.map(({ database, ...now }) => [database, { ...decided.get(database)!, ...now }]));
}
