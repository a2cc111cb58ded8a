import type { OperationContext } from '../../engine/operation.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';
import { errorText } from '../../errors.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { restorePrivileges } from '../databases/database-privileges.ts';
import type { WantedPrivileges } from '../databases/database-privileges.ts';
import { privilegesBefore } from '../databases/source-definition.ts';
import { swapped } from '../replication/way-back.ts';
import { fenceKey, lowerFence, proofKey, untilUndisturbed } from './fence.ts';
import { openedOf } from './opened.ts';
import { makersKey } from './readers.ts';

/** What setup has noted of a database that it made, until applications are let in. */
const madeKey = (database: string) => ({ kind: 'database', database });

/**
 * From the moment its fence is down until the target's database has the privileges of the side that is left: whoever was stopped in between
 * has left them to the next one.
 */
const owedKey = (database: string) => ({ kind: 'privileges-owed', database });

const CLOSING: ReadonlySet<string> = new Set([madeKey, fenceKey, owedKey].map((key) => key('').kind));

/** Whether a note of the target's ledger keeps a database closed, or somebody out of it. */
const keepsClosed = ({ kind }: LedgerEntry): boolean => CLOSING.has(kind);

/**
 * Whether somebody is still kept out of the target's database: by the connection limit that setup has given it or, where applications have
 * left it before, by its fence, or for want of a privilege that was given since.
 */
export const isClosed = async ({
  target,
  targetLedger,
}: Pick<OperationContext, 'target' | 'targetLedger'>): Promise<boolean> =>
  (await targetLedger.entriesOn([target.name])).some(keepsClosed);

/** Those of the databases that applications get into where they are to go. */
export async function openAmong(
  { targetCluster, targetLedger }: Pick<OperationContext, 'targetCluster' | 'targetLedger'>,
  databases: readonly string[],
): Promise<ReadonlySet<string>> {
  const notes = await targetLedger.entriesOn(databases);
  const opened = await openedOf(notes, targetCluster);
  const closed = new Set(notes.filter(keepsClosed).map(({ database }) => database));
  return new Set([...opened.keys()].filter((name) => !closed.has(name)));
}

/** The same of the database of this step. */
export const letsIn = async (
  context: Pick<OperationContext, 'target' | 'targetCluster' | 'targetLedger'>,
): Promise<boolean> => (await openAmong(context, [context.target.name])).has(context.target.name);

/**
 * Applications get into databases of the target, all in the same moment. Until here their connection limit has kept out everybody but
 * superusers, whatever their privileges are; only who has decided to open (`agreeToOpen`) comes here. What its own fence has kept closed
 * comes before, one after the other.
 * @param contexts of one run
 * @param opened told which ones are open, as soon as they are
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function letIn(
  contexts: readonly OperationContext[],
  opened: (databases: readonly string[]) => Promise<void>,
): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const names = contexts.map(({ target }) => target.name);
  const wanted = await privilegesBefore(first, names);
  const fences = [fenceKey, proofKey, makersKey, owedKey].map((key) => key('').kind);
  const noted = await first.targetLedger.entriesOn(names, fences);
  const fenced = new Set(noted.map(({ database }) => database));
  const owed = new Set(noted.filter(({ kind }) => kind === owedKey('').kind).map(({ database }) => database));
  const limited: string[] = [];
  for (const context of contexts) {
    const { name } = context.target;
    const owe = () => context.targetLedger.record(owedKey(name), {});
    const lowered = fenced.has(name) && (await lowerFence(swapped(context), owe));
    if (!lowered && !owed.has(name)) limited.push(name);
    else {
      await giveOwed(context, wanted.get(name)!);
      await opened([name]);
    }
  }
  if (limited.length === 0) return;
  const statements = limited.map(
    (name) => sql`alter database ${id(name)} connection limit ${trusted(String(wanted.get(name)!.connectionLimit))}`,
  );
  await untilUndisturbed(() => first.targetCluster.maintenance.atOnce(statements));
  await opened(limited);
}

/**
 * What was granted on the side that is left counts, not what was before this fence. Applications are in already, and some may wait for this
 * in front of the database: what the server refuses is told, and keeps nobody out.
 */
async function giveOwed(context: OperationContext, wanted: WantedPrivileges): Promise<void> {
  const { target, targetLedger, sourceCluster, log, note } = context;
  const tell = (what: string) => {
    const line = `${target.side}, database "${target.name}": ${what}`;
    log.warn(line);
    note(line);
  };
  try {
    const restore = () => restorePrivileges(context, new Map([[target.name, wanted]]), sourceCluster, 'left out');
    for (const { privilege, grantee, roles } of await untilUndisturbed(restore)) {
      const whom = grantee === null ? 'PUBLIC' : id(grantee).text;
      tell(
        `${privilege} for ${whom} was not given, since it names ${roles.map((role) => id(role).text).join(' and ')}, which is not there. If it is needed: CREATE ROLE there, then GRANT ${privilege} ON DATABASE ${id(target.name).text} TO ${whom}`,
      );
    }
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.disposition !== 'give-up') throw error;
    tell(
      `it has the privileges from before it was left, those given since on the ${sourceCluster.side} are refused: ${errorText(error)}`,
    );
  }
  await targetLedger.forget(owedKey(target.name));
}

/** A database on the new cluster that applications leave is ours again. */
export async function takeOver(
  { sourceCluster, sourceLedger }: OperationContext,
  databases: readonly string[],
): Promise<void> {
  if (sourceCluster.side !== 'target') return;
  await sourceLedger.replaceAll(madeKey('').kind, new Map(databases.map((name) => [name, {}])));
}

/** From here on nothing of ours may touch them. */
export const letGo = ({ targetLedger }: OperationContext, databases: readonly string[]): Promise<void> =>
  targetLedger.forgetAll(madeKey('').kind, databases);
