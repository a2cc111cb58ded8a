import { partKey, partOfKey } from '../../postgres/catalog/fingerprint.ts';
import type { Fingerprint, PartName } from '../../postgres/catalog/fingerprint.ts';
import type { Baseline } from './baseline.ts';

/** A part that the two sides no longer have alike; undefined where it is not there. */
export interface PartDrift {
  readonly part: string;
  readonly source: { readonly before: string | undefined; readonly now: string | undefined };
  readonly target: { readonly before: string | undefined; readonly now: string | undefined };
  /** A column by its name before. */
  readonly renamedFrom?: string;
}

/** An object that the two sides no longer have alike. */
export interface ObjectDrift extends Pick<PartName, 'kind' | 'schema' | 'name'> {
  /**
   * - `added`, `dropped`, `renamed`, `changed`: by somebody on the source
   * - `lost`, `extra`: dropped or made by somebody on the target
   * - `remade`: a table that was dropped and made again on the source, so that the target has the rows of the old one
   */
  readonly change: 'added' | 'dropped' | 'renamed' | 'changed' | 'lost' | 'extra' | 'remade';
  /** A table by its name before. */
  readonly renamedFrom?: Pick<PartName, 'schema' | 'name'>;
  /** Of `changed` what; else all of it. */
  readonly parts: readonly PartDrift[];
}

/**
 * What of source and target no longer corresponds. A part is in order where both sides have the same text, or where neither has
 * changed since the baseline. A target that is not finished yet (no baseline of it) is not judged.
 */
export function compareFingerprints(
  baseline: Baseline,
  now: { readonly source: Fingerprint; readonly target: Fingerprint },
): ObjectDrift[] {
  const objects = new Map<string, { readonly object: PartName; readonly parts: PartDrift[] }>();
  const keys = new Set([
    ...baseline.source.keys(),
    ...now.source.keys(),
    ...(baseline.target ? [...baseline.target.keys(), ...now.target.keys()] : []),
  ]);
  const pairs = tablePairs(baseline);
  for (const key of keys) {
    const source = { before: baseline.source.get(key), now: now.source.get(key) };
    const target = baseline.target
      ? { before: baseline.target.get(key), now: now.target.get(key) }
      : { before: source.before, now: source.before };
    if (source.now === target.now || (source.before === source.now && target.before === target.now)) continue;
    const object = partOfKey(key);
    if (object.part.startsWith('#') || (object.part === 'rows' && !isRemade(source, target, pairs))) continue;
    const owner = JSON.stringify([object.kind, object.schema, object.name]);
    const known = objects.get(owner);
    const drift: PartDrift = { part: object.part, source, target };
    if (known) known.parts.push(drift);
    else objects.set(owner, { object, parts: [drift] });
  }
  const drifts = [...objects.values()].map(({ object, parts }) => judge(object, parts, baseline, now));
  return withRenames(drifts, baseline, now).toSorted(inOrderOfRemedy);
}

/** What depends on tables goes before them; else by name. */
function inOrderOfRemedy(one: ObjectDrift, other: ObjectDrift): number {
  const place = ({ kind, change }: ObjectDrift) =>
    change === 'dropped' && kind !== 'table' && kind !== 'type' ? 0 : 1;
  const name = ({ kind, schema, name: last }: ObjectDrift) => JSON.stringify([kind, schema, last]);
  return place(one) - place(other) || (name(one) < name(other) ? -1 : 1);
}

/** Tables that belonged together at the baseline, by their OIDs: a name may have changed on both sides since. */
function tablePairs({ source, target }: Baseline): ReadonlySet<string> {
  const pairs = [...source].flatMap(([key, oid]) =>
    partOfKey(key).part === 'rows' ? [`${oid} ${target?.get(key) ?? ''}`] : [],
  );
  return new Set(pairs);
}

const isRemade = (source: PartDrift['source'], target: PartDrift['target'], pairs: ReadonlySet<string>): boolean =>
  source.before !== undefined &&
  source.now !== undefined &&
  source.now !== source.before &&
  !pairs.has(`${source.now} ${target.now ?? ''}`);

/** An object is there where it has an owner, or a definition where it has none. */
function isThere({ kind, schema, name }: PartName, fingerprint: Fingerprint | undefined): boolean {
  const has = (part: string) => fingerprint?.has(partKey({ kind, schema, name, part })) ?? false;
  return has('owner') || has('definition');
}

function judge(
  object: PartName,
  parts: readonly PartDrift[],
  baseline: Baseline,
  now: { readonly source: Fingerprint; readonly target: Fingerprint },
): ObjectDrift {
  const { kind, schema, name } = object;
  const [onSource, wasOnSource] = [isThere(object, now.source), isThere(object, baseline.source)];
  const [onTarget, wasOnTarget] = [
    baseline.target ? isThere(object, now.target) : wasOnSource,
    isThere(object, baseline.target),
  ];
  const change = (): ObjectDrift['change'] => {
    if (onSource && !onTarget) return wasOnTarget && wasOnSource ? 'lost' : 'added';
    if (!onSource && onTarget) return wasOnSource ? 'dropped' : 'extra';
    return parts.some(({ part }) => part === 'rows') ? 'remade' : 'changed';
  };
  return { kind, schema, name, change: change(), parts: withRenamedColumns(object, parts, baseline, now.source) };
}

/** A column that came and one that went with the same number are one. */
function withRenamedColumns(
  { kind, schema, name }: PartName,
  parts: readonly PartDrift[],
  baseline: Baseline,
  source: Fingerprint,
): PartDrift[] {
  const numberOf = (fingerprint: Fingerprint, part: string) =>
    fingerprint.get(partKey({ kind, schema, name, part: `#${part.slice('column '.length)}` }));
  const isColumn = ({ part }: PartDrift) => part.startsWith('column ');
  const gone = new Map(
    parts
      .filter((each) => isColumn(each) && each.source.before !== undefined && each.source.now === undefined)
      .map((each) => [numberOf(baseline.source, each.part), each]),
  );
  const renamed = new Set<PartDrift>();
  const result = parts
    .toSorted((one, other) => (one.part < other.part ? -1 : 1))
    .map((each) => {
      const isNew = isColumn(each) && each.source.before === undefined && each.source.now !== undefined;
      const before = isNew ? gone.get(numberOf(source, each.part)) : undefined;
      if (!before) return each;
      renamed.add(before);
      return { ...each, renamedFrom: before.part.slice('column '.length) };
    });
  return result.filter((each) => !renamed.has(each));
}

/** A table that came and one that went with the same OID are one. */
function withRenames(
  drifts: readonly ObjectDrift[],
  baseline: Baseline,
  now: { readonly source: Fingerprint },
): ObjectDrift[] {
  const oidOf = (fingerprint: Fingerprint, { kind, schema, name }: ObjectDrift) =>
    fingerprint.get(partKey({ kind, schema, name, part: 'rows' }));
  const gone = new Map(
    drifts
      .filter(({ kind, change }) => kind === 'table' && change === 'dropped')
      .map((drift) => [oidOf(baseline.source, drift) ?? '', drift]),
  );
  const replaced = new Set<ObjectDrift>();
  const result = drifts.map((drift): ObjectDrift => {
    const before =
      drift.kind === 'table' && drift.change === 'added' ? gone.get(oidOf(now.source, drift) ?? '-') : undefined;
    if (!before) return drift;
    replaced.add(before);
    return { ...drift, change: 'renamed', renamedFrom: { schema: before.schema, name: before.name } };
  });
  return result.filter((drift) => !replaced.has(drift));
}
