import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { matcherOf } from '../../engine/name-pattern.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  LargeObjectMaker,
  WayToWrite,
  giveBackMakers,
  largeObjectMakers,
  waysToWrite,
  withdrawMakers,
} from '../../postgres/catalog/ways-to-write.ts';
import { sql } from '../../postgres/sql.ts';

type ReaderContext = Pick<OperationContext, 'source' | 'sourceCluster' | 'sourceLedger' | 'settings'>;

const Role = z.object({ name: z.string() });

export const makersKey = (database: string) => ({ kind: 'fence-large-objects', database });

/** Roles that the configuration lets stay connected behind a fence that is read-only; groups stand for their members. */
export async function configuredReaders({ sourceCluster, settings }: ReaderContext): Promise<readonly string[]> {
  const { fence, readers } = settings.cutover;
  if (fence !== 'read-only' || readers.length === 0) return [];
  const matchers = readers.map(matcherOf);
  const roles = await sourceCluster.maintenance.many(
    Role,
    sql`select rolname as name from pg_roles where not rolsuper and rolname !~ '^(pg_|pgconvoy)' order by 1`,
  );
  return roles.map(({ name }) => name).filter((name) => matchers.some((matches) => matches(name)));
}

/** The ways in which these roles could write, the first of them. */
export const waysOfReaders = async (
  { source }: Pick<ReaderContext, 'source'>,
  readers: readonly string[],
): Promise<readonly WayToWrite[]> => (readers.length === 0 ? [] : source.many(WayToWrite, waysToWrite(readers)));

/** The first way in which one of these roles could write, if there is any. */
export async function writingReader(
  { source }: ReaderContext,
  readers: readonly string[],
): Promise<WayToWrite | undefined> {
  return readers.length === 0 ? undefined : source.maybe(WayToWrite, waysToWrite(readers));
}

/** @throws PgconvoyError where one of them could write: then nothing would keep it from doing so behind the fence */
export async function refuseWritingReaders(context: ReaderContext, readers: readonly string[]): Promise<void> {
  const way = await writingReader(context, readers);
  if (!way) return;
  const { source, settings } = context;
  throw new PgconvoyError(
    `${source.side}, database "${source.name}": ${readers.map((name) => `"${name}"`).join(', ')} would stay connected behind the fence, but could write: ${way.how} (${way.role})`,
    {
      hint: `Revoke that on the ${source.side}, or leave the role out of cutover.readers (nobody may belong to ${settings.replication.role} either), then retry the step.`,
    },
  );
}

/**
 * Everybody who is connected can make large objects of their own: behind a fence with readers that is taken from PUBLIC.
 * The ledger notes it first.
 */
export async function withdrawLargeObjects({ source, sourceLedger }: ReaderContext): Promise<void> {
  const signatures = (await source.many(LargeObjectMaker, largeObjectMakers())).map(({ signature }) => signature);
  if (signatures.length === 0) return;
  await sourceLedger.record(makersKey(source.name), { signatures });
  await source.run(withdrawMakers(signatures));
}

/** Gives it back, where it was taken. */
export async function giveBackLargeObjects({ source, sourceLedger }: ReaderContext): Promise<void> {
  const entry = await sourceLedger.find(makersKey(source.name));
  if (!entry) return;
  const { signatures } = z.object({ signatures: z.array(z.string()) }).parse(entry.before);
  await source.run(giveBackMakers(signatures));
  await sourceLedger.forget(makersKey(source.name));
}
