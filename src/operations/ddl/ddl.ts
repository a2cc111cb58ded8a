import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { partKey, partOfKey } from '../../postgres/catalog/fingerprint.ts';
import type { Fingerprint } from '../../postgres/catalog/fingerprint.ts';
import { acceptBoth, bothFingerprints, readBaseline } from '../drift/baseline.ts';
import { compareFingerprints } from '../drift/compare.ts';
import { forgetRecord, hasRun, unfinishedRecord, writeRecord } from '../drift/ddl-record.ts';
import type { DdlRecord } from '../drift/ddl-record.ts';
import { shellWord } from '../drift/describe.ts';
import { copyAgain, takeIn } from '../drift/resync.ts';
import { refuseUnlessReplicating } from '../drift/replicating.ts';
import { pairOf } from '../replication/pair.ts';
import type { TableName } from '../../replication/engine.ts';
import { runOnBothSides } from './run-ddl.ts';
import type { DdlPlan } from './statements.ts';

export interface DdlOutcome {
  /** An attempt before was broken off between the two sides; this one did the rest. */
  readonly resumed: boolean;
  /** Tables that are copied since then, because they are new or their rows could not be the same. */
  readonly copied: readonly TableName[];
}

/**
 * Runs statements on both sides of one database, lets new tables travel, and takes the result for what both sides correspond in from
 * now on. The caller holds the lock of the database.
 * @throws PgconvoyError
 */
export async function runDdl(context: OperationContext, text: string, plan: DdlPlan, by: string): Promise<DdlOutcome> {
  await refuseUnlessReplicating(context, 'pgconvoy ddl');
  const known = await openRecord(context, text);
  const baseline = await readBaseline(context);
  const before = await bothFingerprints(context);
  const driftBefore = known || !baseline ? [] : compareFingerprints(baseline, before);
  const record = await runOnBothSides(context, plan, known ?? newRecord(text, by));
  const streamed = new Set((await subscribedTables(context)).map(({ schema, name }) => JSON.stringify([schema, name])));
  const refused = await takeIn(context);
  const after = await bothFingerprints(context);
  const different = columnsOfTheirOwn(known && baseline ? baseline.source : before.source, after.source);
  await copyAgain(context, different);
  await acceptBoth(
    context,
    new Set(driftBefore.flatMap(({ parts, ...object }) => parts.map(({ part }) => partKey({ ...object, part })))),
  );
  await writeRecord(context, { ...record, finished: true });
  if (refused) throw refused;
  const now = (await subscribedTables(context)).filter(
    ({ schema, name }) => !streamed.has(JSON.stringify([schema, name])),
  );
  return { resumed: known !== undefined, copied: [...now, ...different] };
}

const newRecord = (statement: string, by: string): DdlRecord => ({
  statement,
  by,
  source: null,
  target: null,
  finished: false,
});

/** The record of this very text where it is half done. Half of another one must be finished first. */
async function openRecord(context: OperationContext, text: string): Promise<DdlRecord | undefined> {
  const record = await unfinishedRecord(context);
  if (!record || record.statement === text) return record;
  const ran = [await hasRun(context.source, record.source), await hasRun(context.target, record.target)];
  if (!ran.includes(true)) {
    await forgetRecord(context, record);
    return undefined;
  }
  throw new PgconvoyError(
    `database "${context.source.name}": another pgconvoy ddl was broken off and has run on the ${ran[0] ? 'source' : 'target'} ${ran[0] && ran[1] ? 'and the target, but not what follows' : 'only'}: ${record.statement}`,
    { hint: `Finish it first: pgconvoy ddl ${shellWord(context.source.name)} -- ${shellWord(record.statement)}` },
  );
}

async function subscribedTables(context: OperationContext): Promise<readonly TableName[]> {
  const { tables } = await context.engine.subscription(pairOf(context));
  return tables.map(({ schema, name }) => ({ schema, name }));
}

/** A constant, as pg_get_expr writes it: the same on both sides, whenever it is worked out. */
const CONSTANT = /^\(?(?:-?\d[\d.]*|true|false|null|'(?:[^']|'')*')\)?(?:::[a-z0-9_." ]+(?:\([\d, ]+\))?(?:\[\])*)*$/i;

/** Tables that got a column whose values each side has worked out for itself, for rows that were there: now(), random(), a sequence. */
function columnsOfTheirOwn(before: Fingerprint, after: Fingerprint): TableName[] {
  const tables = new Map<string, TableName>();
  for (const [key, text] of after) {
    const { kind, schema, name, part } = partOfKey(key);
    if (kind !== 'table' || schema === null || !part.startsWith('column ') || before.has(key)) continue;
    const rows = partKey({ kind, schema, name, part: 'rows' });
    if (!before.has(rows) || before.get(rows) !== after.get(rows)) continue;
    const [, expression] = / default ([^]*)$/.exec(text) ?? [];
    const differs = text.endsWith(' as identity') || (expression !== undefined && !CONSTANT.test(expression));
    if (differs) tables.set(rows, { schema, name });
  }
  return [...tables.values()];
}
