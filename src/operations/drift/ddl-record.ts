import { createHash } from 'node:crypto';
import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { since, sql } from '../../postgres/sql.ts';
import type { Database } from '../../postgres/database.ts';

/** What the ledger of the target keeps of a statement that runs on both sides: where it has run, and when. */
const DdlRecord = z.object({
  statement: z.string(),
  by: z.string(),
  /** The transaction it runs in, or true where it can run in none and is through; null: not begun. */
  source: z.union([z.string(), z.literal(true)]).nullable(),
  target: z.union([z.string(), z.literal(true)]).nullable(),
  /** Outside of a transaction an attempt was begun: what it has left behind may be there already. */
  begun: z.boolean().optional(),
  /** Both sides are through, and what follows from it (copies of new tables) too. */
  finished: z.boolean(),
});
export type DdlRecord = z.output<typeof DdlRecord>;

const KIND = 'ddl';

type LedgerContext = Pick<OperationContext, 'target' | 'targetLedger'>;

const keyOf = ({ target }: LedgerContext, statement: string) => ({
  kind: KIND,
  database: target.name,
  object: createHash('md5').update(statement).digest('hex'),
});

export const writeRecord = (context: LedgerContext, record: DdlRecord): Promise<void> =>
  context.targetLedger.replace(keyOf(context, record.statement), record);

/** What is known of a statement that was not finished, this one or another. */
export async function unfinishedRecord({ target, targetLedger }: LedgerContext): Promise<DdlRecord | undefined> {
  const entries = await targetLedger.entries(KIND, target.name);
  return entries.map(({ before }) => DdlRecord.parse(before)).find(({ finished }) => !finished);
}

export const forgetRecord = (context: LedgerContext, { statement }: DdlRecord): Promise<void> =>
  context.targetLedger.forget(keyOf(context, statement));

export const unfinishedDdl = async (context: LedgerContext): Promise<string | undefined> =>
  (await unfinishedRecord(context))?.statement;

/** Before 10 a server does not tell; there statements go through pglogical, which has written them down in the same transaction. */
const statusOf = (transaction: string) =>
  since(
    'transactionStatus',
    sql`select txid_status(${transaction}::bigint) as status`,
    sql`select case when exists (select from pglogical.queue where xmin::text::bigint = ${transaction}::bigint % (1::bigint << 32))
                    then 'committed' else 'aborted' end as status`,
  );

const Status = z.object({ status: z.enum(['committed', 'aborted', 'in progress']).nullable() });

/**
 * Whether a side has committed what the record tells of it.
 * @throws PgconvoyError while the transaction of an attempt that was broken off has not ended
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
 */
export async function hasRun(database: Database, mark: DdlRecord['source']): Promise<boolean> {
  if (mark === null || mark === true) return mark === true;
  const { status } = await database.one(Status, statusOf(mark));
  // So long ago that the server has forgotten it: nobody would have waited for its end.
  if (status !== 'in progress') return status !== 'aborted';
  throw new PgconvoyError(
    `${database.side}, database "${database.name}": the transaction of an attempt that was broken off has not ended yet`,
    { hint: 'Run the command again in a moment.', disposition: 'wait' },
  );
}
