import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { WriteTransaction, endingOf, writeTransactions } from '../../../postgres/catalog/transactions.ts';
import { lit } from '../../../postgres/sql.ts';

const LONG_SECONDS = 60;

/** No transaction of any database holds up the creation of slots: each waits for all that write. */
export const transactions: Concern = {
  name: 'open transactions',
  side: 'source',
  async look({ source }) {
    return judgeTransactions(await source.many(WriteTransaction, writeTransactions()));
  },
};

/** Prepared transactions block however young they are; others are worth a word when they are old. */
export const judgeTransactions = (open: readonly WriteTransaction[]): CheckFinding[] =>
  open.flatMap((transaction) => {
    if (transaction.gid !== null) return [judgePrepared(transaction, lit(transaction.gid).text.trim())];
    return transaction.ageSeconds < LONG_SECONDS ? [] : [judgeLong(transaction)];
  });

const judgePrepared = ({ gid, user, database, ageSeconds }: WriteTransaction, literal: string): CheckFinding => ({
  code: 'prepared-transaction',
  severity: 'block',
  side: 'source',
  database,
  object: gid ?? undefined,
  message: `Prepared transaction ${literal} of "${user}" in database "${database}", ${age(ageSeconds)} old: no slot can be made while it is there, and it is not carried to the target.`,
  remedy: `In database "${database}" of the source: COMMIT PREPARED ${literal}; or ROLLBACK PREPARED ${literal};`,
});

const judgeLong = ({ pid, gid, user, database, application, ageSeconds }: WriteTransaction): CheckFinding => ({
  code: 'long-transaction',
  severity: 'warning',
  side: 'source',
  database,
  object: `pid ${pid}`,
  message: `A write transaction has been open for ${age(ageSeconds)}: pid ${pid}, user "${user}", database "${database}", application "${application}". Slots are made only after it has ended, in every database.`,
  remedy: `Let it end, or on the source: ${endingOf({ pid, gid })}`,
});

export function age(seconds: number): string {
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
