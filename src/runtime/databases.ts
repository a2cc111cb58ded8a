import type { Settings } from '../config/schema.ts';
import { ConfigError } from '../errors.ts';
import { fitsPattern } from '../engine/name-pattern.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import {
  holdsUserObjects,
  HoldsUserObjects,
  ListedDatabase,
  listedDatabases,
} from '../postgres/catalog/listed-databases.ts';
import { openedDatabases } from '../operations/cutover/opened.ts';
import type { BoundCluster } from '../postgres/cluster.ts';
import { Ledger } from '../postgres/ledger.ts';
import { isCanary } from '../replication/names.ts';

/** A database that does not take part, and why. */
interface ReportedDatabase {
  readonly name: string;
  readonly reason: string;
}

export interface Selection {
  readonly selected: readonly SelectedDatabase[];
  readonly reported: readonly ReportedDatabase[];
}

/** initdb makes them in every cluster: they take part only where they hold something of users. */
const BUILT_IN = new Set(['postgres', 'template1']);

/**
 * Which databases of the source take part, by name, and which do not, with the reason: none is forgotten.
 * @throws ConfigError when a name or pattern to include fits no database; UnreachableError, DatabaseError
 */
export async function selectDatabases(source: BoundCluster, patterns: Settings['databases']): Promise<Selection> {
  const listed = await source.maintenance.many(ListedDatabase, listedDatabases());
  const unknown = patterns.include.filter((pattern) => !listed.some(({ name }) => fitsPattern(name, pattern)));
  if (unknown.length > 0) throw noSuchDatabase(unknown, listed);

  const selected: SelectedDatabase[] = [];
  const reported: ReportedDatabase[] = [];
  for (const database of listed) {
    const reason = reasonToLeaveOut(database, patterns) ?? (await reasonInside(database, source));
    if (reason === undefined) selected.push({ oid: database.oid, name: database.name });
    else reported.push({ name: database.name, reason });
  }
  return { selected, reported };
}

/**
 * Of what was selected, what applications use on the target.
 * @throws ConfigError where that is nothing
 */
export async function onlyOpened({ selected, reported }: Selection, target: BoundCluster): Promise<Selection> {
  const opened = await openedDatabases(new Ledger(target), target);
  const [open, left] = [
    selected.filter(({ name }) => opened.has(name)),
    selected.filter(({ name }) => !opened.has(name)),
  ];
  if (open.length === 0) {
    throw new ConfigError('none of these databases was switched over: applications do not use them on the target', {
      hint: 'See pgconvoy status. A cutover that has not opened them yet is taken back by pgconvoy cancel.',
    });
  }
  return {
    selected: open,
    reported: [...reported, ...left.map(({ name }) => ({ name, reason: 'applications do not use it on the target' }))],
  };
}

function reasonToLeaveOut(database: ListedDatabase, patterns: Settings['databases']): string | undefined {
  if (database.name === 'template0') return 'the template that initdb made; the target has its own';
  if (isCanary(database.name)) return 'the scratch database by which check proves the engine';
  const excluded = patterns.exclude.find((pattern) => fitsPattern(database.name, pattern));
  if (excluded !== undefined) return `excluded by "${excluded}"`;
  if (!patterns.include.some((pattern) => fitsPattern(database.name, pattern)))
    return 'not among the databases to include';
  if (database.invalid) return 'invalid: a DROP DATABASE was interrupted; drop it again to be rid of it';
  if (!database.connectable)
    return 'refuses connections: alter database … allow_connections true, if it shall take part';
  return undefined;
}

/** Whether a database takes part, as far as can be told without entering it: not those of initdb, which seldom do. */
export const mayTakePart = (database: ListedDatabase, patterns: Settings['databases']): boolean =>
  !BUILT_IN.has(database.name) && reasonToLeaveOut(database, patterns) === undefined;

async function reasonInside({ name }: ListedDatabase, source: BoundCluster): Promise<string | undefined> {
  if (!BUILT_IN.has(name)) return undefined;
  const { found } = await source.database(name).one(HoldsUserObjects, holdsUserObjects());
  return found ? undefined : 'holds no objects of users';
}

function noSuchDatabase(unknown: readonly string[], listed: readonly ListedDatabase[]): ConfigError {
  const names = listed.map(({ name }) => name).filter((name) => name !== 'template0');
  const shown =
    names
      .slice(0, 30)
      .map((name) => `"${name}"`)
      .join(', ') + (names.length > 30 ? `, … (${names.length} in all)` : '');
  const wanted = unknown.map((pattern) => `"${pattern}"`).join(', ');
  return new ConfigError(`the source has no database ${wanted}`, {
    hint: `Correct databases.include (or --databases). The source has ${shown}.`,
  });
}
