import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { groupBy } from '../../engine/group-by.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { FenceState, fenceStates, walMarker } from '../../postgres/catalog/fence.ts';
import {
  DatabasePrivilege,
  databasePrivileges,
  presentPrivileges,
  privilegesWithout,
} from '../../postgres/catalog/database-definitions.ts';
import { LedgerEntry, lockedNote, lockedNotes } from '../../postgres/catalog/ledger-notes.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { fragment, id, lit, sql } from '../../postgres/sql.ts';
import { privilegeStatements } from '../databases/privilege-statements.ts';
import { eachOf } from './each-of.ts';
import { namedNow } from './noted-roles.ts';
import { hasLeftSource, leavesSource } from './opened.ts';
import { giveBackLargeObjects, writingReader } from './readers.ts';

/** What was before the fence, and when it went up by the source's clock. */
export const BeforeFence = z.object({
  owner: z.string(),
  /** With what the owner has by default. */
  acl: z.string(),
  connectionLimit: z.number(),
  readOnly: z.string().nullable(),
  fencedAt: z.string(),
  /** OIDs of the roles that these name; notes of earlier versions have none. */
  roles: z.record(z.string(), z.string()).optional(),
});
export type BeforeFence = z.output<typeof BeforeFence>;

export const beforeFence = ({ owner, acl, connectionLimit, readOnly, now }: FenceState): BeforeFence => ({
  owner,
  acl,
  connectionLimit,
  readOnly,
  fencedAt: now,
});

/** Whose fence it is, and how long it may stand. */
export const FenceNote = BeforeFence.extend({
  run: z.string(),
  /** By the source's clock; past it the database is not opened on the target any more, but given back. */
  deadline: z.string(),
  /** All databases that this run has fenced open together, or none does. */
  together: z.boolean(),
  /** The database had been given back in this run: what was done before counts for nothing. */
  again: z.boolean().optional(),
});
export type FenceNote = z.output<typeof FenceNote>;

/** What was seen when nobody could write any more. */
export const FenceProof = z.object({
  /** Every write that was ever acknowledged is before this position of the source's WAL. */
  lsn: z.string(),
  /** Sessions that were ended. */
  ended: z.number(),
  /** Superusers among them, whom no privilege keeps out. */
  superusers: z.array(z.string()),
  /** Roles that may stay connected and come back: it is proven that they cannot write. */
  readers: z.array(z.string()),
  /** Background workers of extensions, which may write. */
  workers: z.array(z.string()),
});
export type FenceProof = z.output<typeof FenceProof>;

export interface StandingFence extends FenceProof {
  readonly fencedAt: string;
}

export const fenceKey = (database: string) => ({ kind: 'fence', database });
export const proofKey = (database: string) => ({ kind: 'fence-lsn', database });

export type FenceContext = Pick<
  OperationContext,
  'source' | 'sourceCluster' | 'sourceLedger' | 'settings' | 'signal' | 'log' | 'progress' | 'note' | 'run'
>;

/** The proof, and the state of the database's entry in the catalog that it was made behind. */
export const ProofNote = FenceProof.extend({ version: z.string() });

/** What the ledger says of a fence and whether the catalog agrees; `missing` is empty where it stands. */
export interface FenceLook {
  readonly missing: readonly string[];
  readonly fence: StandingFence | undefined;
}

/** The same of one database. */
export async function lookAtFence(context: FenceContext): Promise<FenceLook> {
  return (await lookAtFences([context])).get(context.source.name)!;
}

/** By database; one look at the catalog and the sessions of all of them. The contexts are of one run. */
export async function lookAtFences(contexts: readonly FenceContext[]): Promise<ReadonlyMap<string, FenceLook>> {
  const names = contexts.map(({ source }) => source.name);
  const first = contexts[0];
  if (!first) return new Map();
  const { notes, rows } = await first.sourceLedger.entriesAnd(names, fenceStates(names));
  const states = new Map(
    z
      .array(FenceState)
      .parse(rows)
      .map((state) => [state.database, state]),
  );
  const noted = groupBy(notes, ({ database }) => database);
  // Where readers may stay each database is asked what they can do in it.
  const looks = await eachOf(contexts, async (context): Promise<[string, FenceLook]> => {
    const { name } = context.source;
    const state = states.get(name);
    if (!state) throw databaseGone(context);
    return [name, await judgeFence(context, state, noted.get(name) ?? [])];
  });
  return new Map(looks);
}

export const databaseGone = ({ source }: FenceContext): PgconvoyError =>
  new PgconvoyError(`${source.side}, database "${source.name}": it is not there any more`, {
    hint: 'Somebody has dropped or renamed it. Leave it out (databases.exclude), or give it its name again and retry the step.',
  });

async function judgeFence(context: FenceContext, state: FenceState, notes: readonly LedgerEntry[]): Promise<FenceLook> {
  const { source, sourceCluster, settings, run } = context;
  const note = notes.find(({ kind }) => kind === fenceKey(source.name).kind);
  const entry = notes.find(({ kind }) => kind === proofKey(source.name).kind);
  const proof = entry && ProofNote.parse(entry.before);
  const stay = new Set<string | null>([settings.replication.role, ...(proof?.readers ?? [])]);
  const missing: string[] = [];
  if (!note) missing.push('the note of what was before');
  // Once the target is decided for, it stands for good, whoever has raised it.
  else if (FenceNote.partial().parse(note.before).run !== run.id && !(await leavesSource(notes, sourceCluster)))
    missing.push(ANOTHERS);
  if (!state.connectors.every((role) => stay.has(role))) missing.push('CONNECT revoked');
  if (state.readOnly !== 'on') missing.push('default_transaction_read_only');
  if (!state.sessions.every((role) => stay.has(role))) missing.push('sessions ended');
  const writing = state.writing.find(({ user }) => !stay.has(user));
  if (writing) missing.push(`no write of ${writing.name}`);
  if (!proof) missing.push('proof that nobody writes');
  // Whoever has opened it meanwhile, if only for a moment, may have let somebody write.
  else if (proof.version !== state.version)
    missing.push('the database as it was fenced: somebody has altered it since');
  else if (await writingReader(context, proof.readers)) missing.push('readers that cannot write');
  if (missing.length > 0 || !note || !proof) return { missing, fence: undefined };
  const { fencedAt } = BeforeFence.parse(note.before);
  return { missing, fence: { ...FenceProof.parse(proof), fencedAt } };
}

/** All that a fence misses which another run has raised: it is taken over by `claimFence`. */
export const ANOTHERS = 'its note is of another run';

/**
 * In one transaction that holds the notes of these fences, as who takes one down does (`lowerFence`): whichever of the two comes second sees
 * what the first one did.
 * @param options.refused the error for those that have no fence of this run; thrown before the body
 * @param options.mostMs how long the notes may be held while the server is asked nothing, milliseconds
 */
export async function holdingFences<T>(
  { sourceCluster: { maintenance }, run }: Pick<FenceContext, 'sourceCluster' | 'run'>,
  names: readonly string[],
  body: () => Promise<T>,
  { refused, mostMs }: { readonly refused: (names: readonly string[]) => PgconvoyError; readonly mostMs?: number },
): Promise<T> {
  return maintenance.transaction(async () => {
    if (mostMs !== undefined) {
      await maintenance.run(
        sql`select set_config(name, ${String(mostMs)}, true) from pg_settings where name = 'idle_in_transaction_session_timeout'`,
      );
    }
    const noted = await maintenance.many(LedgerEntry, lockedNotes(fenceKey('').kind, names));
    const ours = new Set(noted.flatMap((each) => (FenceNote.parse(each.before).run === run.id ? [each.database] : [])));
    const others = names.filter((name) => !ours.has(name));
    if (others.length > 0) throw refused(others);
    return body();
  });
}

/**
 * Takes the fence down: privileges and settings as before. A database that is open on the target keeps it, unless the run was
 * told to open the source: two masters would lose writes. One transaction that holds the fence's note, as the decision to open does
 * (`decideToOpen`): whichever of the two comes second sees what the first one did.
 * @param first done in that transaction, before anybody can write
 * @returns whether there was a fence to take down
 */
export async function lowerFence(context: FenceContext, first?: () => Promise<void>): Promise<boolean> {
  const { source, sourceCluster, sourceLedger, log } = context;
  const { maintenance } = sourceCluster;
  if (!(await sourceLedger.find(fenceKey(source.name)))) {
    await sourceLedger.forget(proofKey(source.name));
    await giveBackLargeObjects(context);
    return false;
  }
  const lowered = await untilUndisturbed(() =>
    maintenance.transaction(async () => {
      const entry = await maintenance.maybe(LedgerEntry, lockedNote(fenceKey(source.name)));
      if (!entry || (await mustStay(context))) return false;
      await first?.();
      const state = await maintenance.maybe(FenceState, fenceStates([source.name]));
      if (state) await reopen(context, BeforeFence.parse(entry.before), state);
      await sourceLedger.forget(proofKey(source.name));
      await sourceLedger.forget(fenceKey(source.name));
      return true;
    }),
  );
  if (lowered) await giveBackLargeObjects(context);
  if (lowered) log.info('the fence is down');
  else
    log.warn(
      `the fence stays, because applications use the database on the ${sourceCluster.side === 'source' ? 'target' : 'source'}`,
    );
  return lowered;
}

/** The source's own note counts: the target may be away, and after uninstall its ledger is gone. */
const mustStay = async (context: FenceContext): Promise<boolean> =>
  context.run.options['openSource'] !== true && (await hasLeftSource(context));

async function reopen(context: FenceContext, noted: BeforeFence, state: FenceState): Promise<void> {
  const { source, sourceCluster } = context;
  const { maintenance } = sourceCluster;
  const name = id(source.name);
  const { before: note, gone } = (await namedNow(sourceCluster, new Map([[source.name, noted]]))).get(source.name)!;
  tellGone(context, gone, noted.owner);
  const moved =
    note.owner !== state.owner && !gone.includes(noted.owner) && (await roleExists(maintenance, note.owner));
  const owner = moved ? note.owner : state.owner;
  if (moved) await maintenance.run(sql`alter database ${name} owner to ${id(owner)}`);
  const [wanted, present] = [
    await maintenance.many(DatabasePrivilege, databasePrivileges(source.name, note.acl)),
    await maintenance.many(DatabasePrivilege, presentPrivileges(source.name)),
  ];
  const difference = { missing: privilegesWithout(wanted, present), surplus: privilegesWithout(present, wanted) };
  const readOnly = fragment`default_transaction_read_only`;
  await maintenance.atOnce([
    ...privilegeStatements(source.name, owner, difference),
    note.readOnly === null
      ? sql`alter database ${name} reset ${readOnly}`
      : sql`alter database ${name} set ${readOnly} = ${lit(note.readOnly)}`,
  ]);
}

function tellGone({ source, log, note }: FenceContext, gone: readonly string[], owner: string): void {
  const users = gone.filter((role) => !role.startsWith('pgconvoy'));
  if (users.length === 0) return;
  const roles = users.map((role) => id(role).text).join(', ');
  const left = gone.includes(owner) ? '; its owner was among them, so the superuser who raised the fence owns it' : '';
  const line = `${source.side}, database "${source.name}": dropped behind the fence, so what was granted to them or by them is not given back: ${roles}${left}`;
  log.warn(line);
  note(line);
}

const roleExists = async (maintenance: FenceContext['source'], role: string): Promise<boolean> =>
  (await maintenance.maybe(z.object({}), sql`select from pg_roles where rolname = ${role}`)) !== undefined;

const Marked = z.object({ lsn: z.string() });

/** A position of the WAL behind every write there was; the target has everything once it has confirmed it. */
export async function markWal({ source }: Pick<OperationContext, 'source'>): Promise<string> {
  return (await source.one(Marked, walMarker())).lsn;
}

/** Two changes of one row of pg_database at the same time: the server refuses the second. */
export async function untilUndisturbed<T>(body: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await body();
    } catch (error) {
      const disturbed = error instanceof DatabaseError && /tuple concurrently (updated|deleted)/.test(error.message);
      if (!disturbed || attempt === 5) throw error;
    }
  }
}
