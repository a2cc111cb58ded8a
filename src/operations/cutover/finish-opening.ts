import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { sql } from '../../postgres/sql.ts';
import { pairOf } from '../replication/pair.ts';
import { eachOf } from './each-of.ts';
import { letGo, letIn, letsIn, openAmong, takeOver } from './let-in.ts';
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
    const isOpen = decided && (await letsIn(context)) && (await replicating([context])).length === 0;
    return decided && !isOpen ? lacks([{ database: context.source.name }]) : holds({ opened: decided });
  },

  apply: (context) => openDecided([context]),
});

/**
 * Applications are let in, and replication is off: from the decision on this is all that is left to do. In that order, since everything
 * that the source ever acknowledged has come, and its fence stands for good: nobody waits for the workers to end.
 * @param contexts of databases that were decided, of one run
 */
export async function openDecided(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const open = await openAmong(
    first,
    contexts.map(({ target }) => target.name),
  );
  await openThese(contexts.filter(({ target }) => !open.has(target.name)));
  await eachOf(await replicating(contexts), (context) => context.engine.disable(pairOf(context)));
}

async function openThese(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const { sourceLedger, targetLedger, log } = first;
  const { kind } = openedKey('');
  const names = contexts.map(({ source }) => source.name);
  const notes = new Map(
    (await sourceLedger.entriesOn(names, [kind])).map(({ database, before }) => [database, before]),
  );
  const decided = new Map(names.map((name) => [name, Opened.parse(notes.get(name))]));
  // Noted before anybody is in: from then on nothing of ours changes the databases, whoever tries the step again.
  await targetLedger.replaceAll(kind, decided);
  await takeOver(first, names);
  await letIn(contexts, async (opened) => {
    const timedNotes = await timed(first, new Map(opened.map((name) => [name, decided.get(name)!])));
    await Promise.all([targetLedger.replaceAll(kind, timedNotes), sourceLedger.replaceAll(kind, timedNotes)]);
    await letGo(first, opened);
    for (const [database, note] of timedNotes)
      log.info({ database, ...note }, `open on the ${first.targetCluster.side}`);
  });
}

/** Those whose subscription is not off yet; what is known to be off needs no session. */
export async function replicating(contexts: readonly OperationContext[]): Promise<readonly OperationContext[]> {
  const [first] = contexts;
  if (!first) return [];
  const { engine, targetCluster } = first;
  const names = contexts.map(({ target }) => target.name);
  const known = new Map(
    (await engine.overview(targetCluster, names)).map(({ database, enabled }) => [database, enabled] as const),
  );
  const found = await eachOf(
    contexts.filter(({ target }) => known.get(target.name) !== false),
    async (context) => {
      const enabled = known.get(context.target.name) ?? (await engine.subscription(pairOf(context))).enabled;
      return enabled ? [context] : [];
    },
  );
  return found.flat();
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
