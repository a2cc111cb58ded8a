import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { catalogProbe, fingerprint, partOfKey } from '../../postgres/catalog/fingerprint.ts';
import type { Fingerprint } from '../../postgres/catalog/fingerprint.ts';

/**
 * What both sides were when they were last known to correspond. Kept in the target's ledger: the texts of both, since majors may spell
 * the same thing differently, and a probe of each, so that a database in which nothing has changed costs two short queries.
 */
export interface Baseline {
  readonly source: Fingerprint;
  /** Undefined as long as indexes and constraints are not built: then the target is not what it shall be yet. */
  readonly target: Fingerprint | undefined;
}

export const Probes = z.object({ source: z.string(), target: z.string() });
export type Probes = z.output<typeof Probes>;

const Note = z.object({
  source: z.record(z.string(), z.string()),
  target: z.record(z.string(), z.string()).nullable(),
});

type LedgerContext = Pick<OperationContext, 'target' | 'targetLedger'>;
type BothSides = Pick<OperationContext, 'source' | 'target'>;

const PROBES = 'schema-probes';
const baselineKey = ({ target }: LedgerContext) => ({ kind: 'schema-fingerprint', database: target.name });
const probesKey = ({ target }: LedgerContext) => ({ kind: PROBES, database: target.name });

/** Undefined: setup has not copied this schema yet. */
export async function readBaseline(context: LedgerContext): Promise<Baseline | undefined> {
  const entry = await context.targetLedger.find(baselineKey(context));
  if (!entry) return undefined;
  const { source, target } = Note.parse(entry.before);
  return {
    source: new Map(Object.entries(source)),
    target: target === null ? undefined : new Map(Object.entries(target)),
  };
}

/** What both catalogs looked like when no drift was seen last. */
export async function readProbes(context: LedgerContext): Promise<Probes | undefined> {
  const entry = await context.targetLedger.find(probesKey(context));
  return entry && Probes.parse(entry.before);
}

/** The same of many databases in one question, by name. */
export async function readAllProbes(
  ledger: LedgerContext['targetLedger'],
  databases: readonly string[],
): Promise<ReadonlyMap<string, Probes>> {
  const entries = await ledger.entriesOn(databases, [PROBES]);
  return new Map(entries.map(({ database, before }) => [database, Probes.parse(before)]));
}

export const writeProbes = (context: LedgerContext, probes: Probes): Promise<void> =>
  context.targetLedger.replace(probesKey(context), probes);

export async function probesOf({ source, target }: BothSides): Promise<Probes> {
  const [there, here] = await Promise.all([catalogProbe(source), catalogProbe(target)]);
  return { source: there, target: here };
}

async function writeBaseline(context: LedgerContext, { source, target }: Baseline): Promise<void> {
  // Whatever the probes say was said of another baseline.
  await context.targetLedger.forget(probesKey(context));
  await context.targetLedger.replace(baselineKey(context), {
    source: Object.fromEntries(source),
    target: target === undefined ? null : Object.fromEntries(target),
  });
}

export async function forgetBaseline(context: LedgerContext): Promise<void> {
  await context.targetLedger.forget(probesKey(context));
  await context.targetLedger.forget(baselineKey(context));
}

/**
 * Before the source is dumped for the first time: what is changed on it from here on is drift. Of an attempt that was killed the
 * older text counts, and what came since is added: the next dump makes it.
 */
export async function beginBaseline(context: LedgerContext & BothSides): Promise<void> {
  const [known, now] = [await readBaseline(context), await fingerprint(context.source)];
  await writeBaseline(context, { source: new Map([...now, ...(known?.source ?? [])]), target: undefined });
}

/** When the target has everything that was dumped, it is what corresponds to it. */
export async function completeBaseline(context: LedgerContext & BothSides): Promise<void> {
  const known = await readBaseline(context);
  if (known) await writeBaseline(context, { source: known.source, target: await fingerprint(context.target) });
}

/** Both sides correspond as they are now. */
export const noteBaseline = async (context: LedgerContext & BothSides): Promise<void> =>
  writeBaseline(context, await bothFingerprints(context));

/** Both sides before something is made on the target, for `acceptMade`. */
export async function bothFingerprints({
  source,
  target,
}: BothSides): Promise<{ readonly source: Fingerprint; readonly target: Fingerprint }> {
  const [there, here] = await Promise.all([fingerprint(source), fingerprint(target)]);
  return { source: there, target: here };
}

/**
 * After we have made objects on the target from what the source was `before`: what the target had not before, or has otherwise now,
 * corresponds. Whatever else has changed stays what it is: drift.
 */
export async function acceptMade(
  context: LedgerContext & BothSides,
  before: { readonly source: Fingerprint; readonly target: Fingerprint },
): Promise<void> {
  const known = await readBaseline(context);
  if (!known?.target) return;
  const now = await fingerprint(context.target);
  const [source, target] = [new Map(known.source), new Map(known.target)];
  for (const key of new Set([...now.keys(), ...before.target.keys()])) {
    const text = now.get(key);
    if (text === before.target.get(key)) continue;
    set(target, key, text);
    set(source, key, before.source.get(key));
  }
  await writeBaseline(context, { source, target });
}

/**
 * After the same statements ran on both sides: what has changed on both since the baseline corresponds, but what belonged to the drift
 * `before`.
 */
export async function acceptBoth(context: LedgerContext & BothSides, before: ReadonlySet<string>): Promise<void> {
  const known = await readBaseline(context);
  if (!known?.target) return;
  const now = await bothFingerprints(context);
  const [source, target] = [new Map(known.source), new Map(known.target)];
  for (const key of new Set([...source.keys(), ...target.keys(), ...now.source.keys(), ...now.target.keys()])) {
    const [there, here] = [now.source.get(key), now.target.get(key)];
    const changed = there !== known.source.get(key) && here !== known.target.get(key);
    const { part } = partOfKey(key);
    // Owners are written alike by every major: they are the same or they are not.
    if (there !== here && (!changed || before.has(key) || part === 'owner')) continue;
    set(source, key, there);
    set(target, key, here);
  }
  await writeBaseline(context, { source, target });
}

/** What the source has of these tables now is what the target has: their rows were copied anew. */
export async function acceptRows(
  context: LedgerContext & BothSides,
  tables: readonly { readonly schema: string; readonly name: string }[],
): Promise<void> {
  const known = await readBaseline(context);
  if (!known?.target) return;
  const wanted = new Set(tables.map(({ schema, name }) => JSON.stringify([schema, name])));
  const now = await bothFingerprints(context);
  const [source, target] = [new Map(known.source), new Map(known.target)];
  for (const key of new Set([...now.source.keys(), ...now.target.keys()])) {
    const { kind, schema, name, part } = partOfKey(key);
    if (kind !== 'table' || part !== 'rows' || !wanted.has(JSON.stringify([schema, name]))) continue;
    set(source, key, now.source.get(key));
    set(target, key, now.target.get(key));
  }
  await writeBaseline(context, { source, target });
}

function set(map: Map<string, string>, key: string, text: string | undefined): void {
  if (text === undefined) map.delete(key);
  else map.set(key, text);
}
