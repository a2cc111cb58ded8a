import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  copyPagesIn,
  copyPagesOut,
  LargeObject,
  largeObjects,
  makeLargeObjects,
  removeLargeObjects,
  removePages,
} from '../../postgres/catalog/large-objects.ts';
import { copyRows } from '../../postgres/copy.ts';
import { id, join, sql } from '../../postgres/sql.ts';
import type { Difference } from './differences.ts';
import { groupBy } from '../../engine/group-by.ts';
import { ownerAndComment, privileges } from './ownership.ts';

/** Copied in one transaction, bytes: what a worker that dies loses at most, but for a single object that is larger. */
const TOGETHER = 64 * 1_048_576;

/**
 * Makes large objects of the target what they are on the source: number, pages (holes included), owner, privileges, comment; what is
 * gone there is removed. Each object changes at once, many in one transaction.
 * @see https://www.postgresql.org/docs/current/largeobjects.html
 */
export async function makeAlike(
  context: Pick<OperationContext, 'source' | 'target' | 'signal'>,
  differences: readonly Difference[],
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  const { target, signal } = context;
  const gone = differences.filter(({ wanted }) => !wanted).map((each) => each.id);
  if (gone.length > 0) await target.run(sql`${removeLargeObjects(gone)}`);
  for (const group of groupsOf(differences.filter(({ wanted }) => wanted))) {
    signal.throwIfAborted();
    await target.transaction(async () => {
      await copyGroup(context, group, onBytes);
      await describe(context, group);
    });
  }
}

const BlockSize = z.object({ size: z.string() });

/**
 * A page of a large object is a quarter of a block.
 * @throws PgconvoyError where the servers are compiled with different block sizes
 */
export async function refuseOtherPages({ source, target }: Pick<OperationContext, 'source' | 'target'>): Promise<void> {
  const [here, there] = await Promise.all(
    [source, target].map((side) => side.one(BlockSize, sql`select current_setting('block_size') as size`)),
  );
  if (here!.size === there!.size) return;
  throw new PgconvoyError(
    `database "${source.name}": the source has blocks of ${here!.size} bytes, the target of ${there!.size}, so pages of large objects do not fit`,
    {
      hint: 'Take a target with the same block size; or set notReplicated.largeObjects: leave, and move them by hand (pg_dump --large-objects).',
    },
  );
}

/** Small ones together; a large one alone. */
function groupsOf(differences: readonly Difference[]): Difference[][] {
  const groups: Difference[][] = [];
  let bytes = Infinity;
  for (const each of differences) {
    const last = groups.at(-1);
    if (!last || bytes + each.bytes > TOGETHER) {
      groups.push([each]);
      bytes = each.bytes;
    } else {
      last.push(each);
      bytes += each.bytes;
    }
  }
  return groups;
}

async function copyGroup(
  { source, target }: Pick<OperationContext, 'source' | 'target'>,
  group: readonly Difference[],
  onBytes: (bytes: number) => void,
): Promise<void> {
  const filled = group.filter(({ content }) => content);
  if (filled.length === 0) return;
  const there = filled.filter(({ present }) => present).map((each) => each.id);
  if (there.length > 0) await target.run(removePages(there));
  const owners = groupBy(
    filled.filter(({ present }) => !present),
    ({ wanted }) => wanted!.owner,
  );
  for (const [owner, made] of owners) {
    await target.run(sql`set local role ${id(owner)}; ${makeLargeObjects(made.map((each) => each.id))}; reset role`);
  }
  await copyRows(
    { from: source, out: copyPagesOut(filled.map((each) => each.id)) },
    { to: target, into: copyPagesIn() },
    onBytes,
  );
}

/** Owner and comment first: with the owner, the grantor of privileges changes. */
async function describe({ target }: Pick<OperationContext, 'target'>, group: readonly Difference[]): Promise<void> {
  const ids = group.map((each) => each.id);
  const wanted = new Map(group.map((each) => [each.id, each.wanted!]));
  for (const statementsFor of [ownerAndComment, privileges]) {
    const present = await target.many(LargeObject, largeObjects(ids));
    const statements = statementsFor(present.map((object) => [object, wanted.get(object.id)!]));
    // Several statements in one message.
    if (statements.length > 0) await target.run(sql`${join(statements, ';\n')}`);
  }
}
