import type { Finding } from '../../engine/finding.ts';
import { acceptFindings } from '../../engine/finding.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { BlockedByFindings } from '../../errors.ts';
import { catalogProbe } from '../../postgres/catalog/fingerprint.ts';
import { isReplicated, NamedTable, namedTables } from '../../postgres/catalog/tables.ts';
import { id } from '../../postgres/sql.ts';
import { tablesWithout } from '../../replication/table-names.ts';
import type { TableName } from '../../replication/engine.ts';
import { pairOf } from '../replication/pair.ts';
import { bothFingerprints, probesOf, readBaseline, readProbes, writeProbes } from './baseline.ts';
import type { Baseline, Probes } from './baseline.ts';
import { compareFingerprints } from './compare.ts';
import type { ObjectDrift } from './compare.ts';
import { describeDrift, directionOf, resync, shellWord } from './describe.ts';
import type { Direction } from './describe.ts';
import { unfinishedDdl } from './ddl-record.ts';

interface DriftLook {
  readonly findings: readonly Finding[];
  /** Objects, for whoever mends what can be mended. */
  readonly drifts: readonly ObjectDrift[];
  /** Tables whose rows do not travel, although nothing about their definition says why. */
  readonly unreplicated: readonly TableName[];
}

const NOTHING: DriftLook = { findings: [], drifts: [], unreplicated: [] };

/**
 * What the two sides no longer have alike, one finding for each object. Where neither catalog was written since the last look that
 * found nothing, two short queries are all; else both are read.
 * @param remember notes that nothing was found, so that the next look is a short one
 */
export async function lookForDrift(context: OperationContext, remember: boolean): Promise<DriftLook> {
  const noted = await readProbes(context);
  const probes = await probesOf(context);
  if (noted && noted.source === probes.source && noted.target === probes.target) return NOTHING;
  const baseline = await readBaseline(context);
  if (!baseline) return NOTHING;
  const look = await lookClosely(context, baseline);
  if (remember && look.findings.length === 0) await writeProbes(context, probes);
  return look;
}

async function lookClosely(context: OperationContext, baseline: Baseline): Promise<DriftLook> {
  const direction = directionOf(context);
  const drifts = await withoutOurIdentities(context, compareFingerprints(baseline, await bothFingerprints(context)));
  const known = new Set(drifts.map(({ schema, name }) => JSON.stringify([schema, name])));
  const unreplicated = (baseline.target ? await unreplicatedTables(context) : []).filter(
    ({ schema, name }) => !known.has(JSON.stringify([schema, name])),
  );
  const unfinished = drifts.length === 0 ? undefined : await unfinishedDdl(context);
  return {
    drifts,
    unreplicated,
    findings: [
      ...(unfinished ? [unfinishedFinding(context.source.name, unfinished)] : []),
      ...drifts.map((drift) => findingOf(drift, context.source.name, direction)),
      ...unreplicated.map((table) => unreplicatedFinding(table, context.source.name, direction)),
    ],
  };
}

/** A replica identity that `fix` has chosen on the source goes when pgconvoy goes: the target does not need it. */
async function withoutOurIdentities(
  { source, sourceLedger }: OperationContext,
  drifts: readonly ObjectDrift[],
): Promise<ObjectDrift[]> {
  const isIdentity = ({ part }: { readonly part: string }) => part === 'replica identity';
  if (!drifts.some(({ change, parts }) => change === 'changed' && parts.some(isIdentity))) return [...drifts];
  const ours = new Set((await sourceLedger.entries('replica-identity', source.name)).map(({ object }) => object));
  return drifts
    .map((drift) =>
      drift.change === 'changed' && ours.has(id(drift.schema ?? '', drift.name).text)
        ? { ...drift, parts: drift.parts.filter((part) => !isIdentity(part)) }
        : drift,
    )
    .filter(({ parts }) => parts.length > 0);
}

/** Before there is a subscription nothing travels, and nothing is wrong about that. */
async function unreplicatedTables(context: OperationContext): Promise<TableName[]> {
  const pair = pairOf(context);
  const { exists, tables } = await context.engine.subscription(pair);
  if (!exists) return [];
  const wanted = (await context.source.many(NamedTable, namedTables())).filter(isReplicated);
  const published = (await context.engine.publishedTables(pair)) ?? [];
  return wanted
    .filter((table) => tablesWithout([table], published).length > 0 || tablesWithout([table], tables).length > 0)
    .map(({ schema, name }) => ({ schema, name }));
}

function findingOf(drift: ObjectDrift, database: string, direction: Direction): Finding {
  const { object, message, remedy, harmless } = describeDrift(drift, database, direction);
  const isOnTarget = drift.change === 'extra' || drift.change === 'lost';
  return {
    code: 'schema-drift',
    severity: harmless ? 'warning' : 'block',
    side: isOnTarget ? direction.to : direction.from,
    database,
    object,
    message,
    remedy,
  };
}

const unreplicatedFinding = ({ schema, name }: TableName, database: string, direction: Direction): Finding => ({
  code: 'schema-drift',
  severity: 'block',
  side: direction.from,
  database,
  object: id(schema, name).text,
  message: `table ${id(schema, name).text} is there on both sides, but its rows do not travel`,
  remedy: resync(database, direction),
});

const unfinishedFinding = (database: string, statement: string): Finding => ({
  code: 'schema-drift',
  severity: 'block',
  side: 'target',
  database,
  object: 'pgconvoy ddl',
  message: `pgconvoy ddl was interrupted between the two sides: ${statement}`,
  remedy: `pgconvoy ddl ${shellWord(database)} -- ${shellWord(statement)}`,
});

/**
 * Behind the fence, where every millisecond counts: whether the source is still what it was when it was last looked at.
 * @param noted what was noted then
 * @throws BlockedByFindings where somebody has changed it since, and the configuration does not accept that
 */
export async function refuseLateDrift(context: OperationContext, noted: Probes | undefined): Promise<void> {
  if (noted && noted.source === (await catalogProbe(context.source))) return;
  const { findings } = await lookForDrift(context, false);
  const [first, ...more] = acceptFindings(findings, context.settings.accept).filter(
    ({ severity }) => severity === 'block',
  );
  if (!first) return;
  throw new BlockedByFindings(
    `database "${context.source.name}": ${first.message}${more.length > 0 ? ` (and ${more.length} more)` : ''}. It was not fenced: the ${context.source.side} takes writes`,
    { hint: `${first.remedy} Then retry the step.` },
  );
}
