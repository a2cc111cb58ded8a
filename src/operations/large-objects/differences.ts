import type { OperationContext } from '../../engine/operation.ts';
import {
  LargeObject,
  LargeObjectId,
  largeObjectIds,
  largeObjects,
  LargeObjectSize,
  largeObjectSizes,
  LargeObjectSum,
  largeObjectSums,
} from '../../postgres/catalog/large-objects.ts';
import type { Database } from '../../postgres/database.ts';

/** Large objects looked at together. */
export const AT_ONCE = 500;

type Sides = Pick<OperationContext, 'source' | 'target'>;

/** What one large object lacks on the target. */
export interface Difference {
  readonly id: number;
  /** As it is on the source; undefined where it is gone there. */
  readonly wanted: LargeObject | undefined;
  readonly present: LargeObject | undefined;
  /** The pages are not the same, or not there. */
  readonly content: boolean;
  /** Of the source's pages that have to be copied. */
  readonly bytes: number;
}

/** Those of these large objects that are not the same on both sides: content, owner, privileges, comment. */
export async function differencesOf({ source, target }: Sides, ids: readonly number[]): Promise<Difference[]> {
  if (ids.length === 0) return [];
  const [wanted, present] = await Promise.all([source, target].map((side) => objectsOf(side, ids)));
  const both = ids.filter((id) => wanted!.has(id) && present!.has(id));
  const lacking = ids.filter((id) => wanted!.has(id) && !present!.has(id));
  const [here, there, sizes] = await Promise.all([
    sumsOf(source, both),
    sumsOf(target, both),
    sizesOf(source, lacking),
  ]);
  return ids.flatMap((id): Difference[] => {
    const [one, other] = [wanted!.get(id), present!.get(id)];
    if (!one && !other) return [];
    if (!one || !other) return [{ id, wanted: one, present: other, content: true, bytes: sizes.get(id) ?? 0 }];
    const [sum, copied] = [here.get(id), there.get(id)];
    const content = sum?.sum !== copied?.sum || sum?.pages !== copied?.pages || sum?.bytes !== copied?.bytes;
    if (!content && JSON.stringify(one) === JSON.stringify(other)) return [];
    return [{ id, wanted: one, present: other, content, bytes: content ? (sum?.bytes ?? 0) : 0 }];
  });
}

async function objectsOf(database: Database, ids: readonly number[]): Promise<Map<number, LargeObject>> {
  return new Map((await database.many(LargeObject, largeObjects(ids))).map((object) => [object.id, object]));
}

async function sumsOf(database: Database, ids: readonly number[]): Promise<Map<number, LargeObjectSum>> {
  if (ids.length === 0) return new Map();
  return new Map((await database.many(LargeObjectSum, largeObjectSums(ids))).map((sum) => [sum.id, sum]));
}

async function sizesOf(database: Database, ids: readonly number[]): Promise<Map<number, number>> {
  if (ids.length === 0) return new Map();
  return new Map((await database.many(LargeObjectSize, largeObjectSizes(ids))).map(({ id, bytes }) => [id, bytes]));
}

interface Numbers {
  /** Of both sides, ascending. */
  readonly all: readonly number[];
  /** Those of them that the target alone has. */
  readonly gone: readonly number[];
}

/** The numbers of all large objects in pieces, ascending: however many there are, few are in memory. */
export async function* numbersOfBoth({ source, target }: Sides): AsyncGenerator<Numbers> {
  for (let last = 0; ;) {
    const next = async (database: Database) =>
      (await database.many(LargeObjectId, largeObjectIds(last, AT_ONCE))).map(({ id }) => id);
    const [here, there] = await Promise.all([next(source), next(target)]);
    // A list that was cut says nothing of what is behind its end.
    const ends = [here, there].filter((ids) => ids.length === AT_ONCE).map((ids) => ids.at(-1)!);
    const end = Math.min(...ends);
    const known = new Set(here);
    const gone = there.filter((id) => id <= end && !known.has(id));
    const all = [...here.filter((id) => id <= end), ...gone].toSorted((one, other) => one - other);
    if (all.length > 0) yield { all, gone };
    if (ends.length === 0) return;
    last = end;
  }
}

/** In pieces that are looked at together. */
export function* pieces(ids: readonly number[]): Generator<readonly number[]> {
  for (let start = 0; start < ids.length; start += AT_ONCE) yield ids.slice(start, start + AT_ONCE);
}
