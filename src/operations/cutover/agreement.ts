import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { Decided, decideToOpen, FenceAsNoted, fencesAsNoted } from '../../postgres/catalog/agreement.ts';
import { isOn, Opened, openedKey } from './opened.ts';

type AgreementContext = Pick<OperationContext, 'sourceCluster' | 'sourceLedger' | 'targetCluster' | 'run' | 'log'>;

/**
 * The point of no return, of one database or of many at once: from here on they belong to the applications on the target. One statement
 * on the source that locks the fences' notes, sees that all of them stand, are of this run, and in time, and notes all of
 * the databases as opened, or none. Who takes a fence down locks the same note (`lowerFence`), so there are never two sides that
 * applications can write to. Deciding again what is decided changes nothing.
 * @throws DeadlineExceeded, PgconvoyError that name the database that was not ready and why
 */
export async function agreeToOpen(context: AgreementContext, databases: readonly string[]): Promise<void> {
  const { sourceCluster, targetCluster, run, log } = context;
  const open = await undecided(context, databases);
  if (open.length === 0) return;
  const { systemIdentifier: on } = await targetCluster.facts();
  const agreement = { run: run.id, on };
  const decided = await sourceCluster.maintenance.many(Decided, decideToOpen(open, agreement));
  if (decided.length < open.length) throw await refusal(context, open);
  log.info({ databases: decided.length }, `decided: open on the ${targetCluster.side}`);
}

/** Databases that nobody has decided to open on the target. */
export async function undecided(
  { sourceLedger, targetCluster }: Pick<AgreementContext, 'sourceLedger' | 'targetCluster'>,
  databases: readonly string[],
): Promise<readonly string[]> {
  const entries = await sourceLedger.entriesOn(databases, [openedKey('').kind]);
  const known = new Set<string>();
  for (const { database, before } of entries) if (await isOn(Opened.parse(before), targetCluster)) known.add(database);
  return databases.filter((database) => !known.has(database));
}

async function refusal(
  { sourceCluster, targetCluster, run }: AgreementContext,
  databases: readonly string[],
): Promise<PgconvoyError> {
  const { systemIdentifier } = await sourceCluster.facts();
  const noted = await sourceCluster.maintenance.many(FenceAsNoted, fencesAsNoted(systemIdentifier, databases));
  const found = new Map(noted.map((each) => [each.database, each]));
  const late = databases.filter((database) => found.get(database)?.late);
  if (late.length > 0) {
    return new DeadlineExceeded(
      `${sourceCluster.side}, ${databasesNamed(late)}: the deadline of the write outage has passed before everything was ready`,
      { hint: ANEW(run) },
    );
  }
  const gone = databases.filter((database) => {
    const fence = found.get(database);
    return !fence?.proven || fence.run !== run.id;
  });
  return new PgconvoyError(
    `${sourceCluster.side}, ${databasesNamed(gone.length > 0 ? gone : databases)}: the fence does not stand any more, or is another run's by now, so writes may have been made that the ${targetCluster.side} lacks`,
    { hint: ANEW(run) },
  );
}

/** What was given back is fenced anew by who asks for it. */
export const ANEW = ({ id, options }: OperationContext['run']) =>
  `pgconvoy retry ${id}, which fences anew and does everything behind the fence again; or pgconvoy cancel ${id}, then pgconvoy ${options['back'] === true ? 'rollback' : 'stop'}.`;

/** `database "a"`, or the first few of many. */
export function databasesNamed(databases: readonly string[]): string {
  const shown = databases.slice(0, 3).map((database) => `"${database}"`);
  const more = databases.length > 3 ? ` and ${databases.length - 3} more` : '';
  return `${databases.length === 1 ? 'database' : 'databases'} ${shown.join(', ')}${more}`;
}
