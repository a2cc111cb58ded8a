import * as z from 'zod';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import { RemainingWriter, remainingWriters } from '../../postgres/catalog/fence.ts';
import { SessionsInDatabase, sessionsInDatabase } from '../../postgres/catalog/sessions-in-database.ts';
import { id, lit } from '../../postgres/sql.ts';
import type { CheckFinding } from '../checks/findings.ts';
import { outageMs } from '../cutover/claim-fence.ts';
import { openedDatabase } from '../cutover/opened.ts';

/** A transaction that has been open for so long will probably be open when the fence comes, too. */
const LONG_SECONDS = 5;

/**
 * What a fence would meet in the source's database: sessions it would end, transactions that would be lost, what would refuse it. Reads
 * only; the source goes on.
 */
export const foreseeFence = definePreflight({
  name: 'foresee-fence',
  title: 'Nothing on the source would hold up a fence',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Applications use the database on the target already: there is nothing to rehearse. */
    opened: z.boolean(),
    sessions: z.int(),
    superusers: z.int(),
    transactions: z.int(),
    /** Of the configuration: databases inside their outage at once. */
    atOnce: z.int(),
    /** How long an outage of this run may last, milliseconds. */
    outageMs: z.number(),
  }),

  async check(context) {
    const { source, sourceCluster, settings } = context;
    const { maintenance } = sourceCluster;
    const limits = { atOnce: settings.budgets.cutovers, outageMs: outageMs(context) };
    if (await openedDatabase(context)) {
      return holds({ opened: true, sessions: 0, superusers: 0, transactions: 0, ...limits });
    }
    const seen = await maintenance.one(SessionsInDatabase, sessionsInDatabase(source.name));
    const writers = await maintenance.many(RemainingWriter, remainingWriters([source.name]));
    const { sessions, superusers, transactions } = seen;
    const output = { opened: false, sessions, superusers, transactions: transactions.length, ...limits };
    const findings = judgeSessions(source.name, seen, writers);
    return findings.length > 0 ? lacks(findings, output) : holds(output);
  },
});

/** What a person should know before such a database is fenced. */
export const judgeSessions = (
  database: string,
  seen: SessionsInDatabase,
  writers: readonly RemainingWriter[],
): CheckFinding[] => [...endedBy(database, seen), ...refusedBy(database, writers)];

function endedBy(database: string, { transactions }: SessionsInDatabase): CheckFinding[] {
  const long = transactions.filter(({ seconds }) => seconds >= LONG_SECONDS);
  if (long.length === 0) return [];
  const named = long
    .slice(0, 5)
    .map(
      ({ pid, user, application, seconds, writes }) =>
        `pid ${pid} (user "${user}"${application === '' ? '' : `, ${application}`}, ${Math.round(seconds)} s${writes ? ', has written' : ''})`,
    );
  return [
    {
      code: 'fence-ends-transaction',
      severity: 'warning',
      side: 'source',
      database,
      message: `A fence would end ${long.length === 1 ? 'a transaction' : `${long.length} transactions`} that are open for more than ${LONG_SECONDS} s, and what they have done would be lost: ${named.join(', ')}${long.length > 5 ? ', …' : ''}.`,
      remedy: 'Switch over when they have ended: pause what begins them (batch jobs, backups, reports) first.',
    },
  ];
}

function refusedBy(database: string, writers: readonly RemainingWriter[]): CheckFinding[] {
  return writers.flatMap(({ kind, name }): CheckFinding[] => {
    if (kind === 'prepared') {
      return [
        {
          code: 'fence-refused',
          severity: 'warning',
          side: 'source',
          database,
          object: name,
          message: `The prepared transaction "${name}" would outlive a fence, so the cutover would wait for it.`,
          remedy: `On the source, in that database: COMMIT PREPARED ${lit(name).text}; or ROLLBACK PREPARED ${lit(name).text};`,
        },
      ];
    }
    if (kind !== 'subscription') return [];
    return [
      {
        code: 'fence-refused',
        severity: 'warning',
        side: 'source',
        database,
        object: name,
        message: `The database receives rows by the subscription "${name}", which a fence does not stop: the cutover would refuse to begin.`,
        remedy: `Before the cutover, on the source, in that database: ALTER SUBSCRIPTION ${id(name).text} DISABLE;`,
      },
    ];
  });
}
