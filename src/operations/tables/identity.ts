import type { IdentityWish, Settings } from '../../config/schema.ts';
import { matcherOf } from '../../engine/name-pattern.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  IdentityCandidate,
  identityCandidates,
  IncomparableColumns,
  incomparableColumns,
} from '../../postgres/catalog/identities.ts';
import { SurrogateObstacle, surrogateObstacles } from '../../postgres/catalog/surrogate-keys.ts';
import { identifiedTables, isReplicated, UserTable } from '../../postgres/catalog/tables.ts';

/**
 * From this size on a table is not rewritten under a lock, and gets a key column only where the configuration names it. The rewrite
 * of a table below it takes a few tenths of a second.
 */
export const LARGE_BYTES = 32 * 1_048_576;

/** What identifies a table's rows, or will. */
export type IdentityChoice =
  | { readonly by: 'index'; readonly index: string }
  | { readonly by: 'full' }
  /** A key column of ours; `inBatches`: without a rewrite under a lock. */
  | { readonly by: 'surrogate-key'; readonly inBatches: boolean }
  /** The configuration leaves the table to a person. */
  | { readonly by: 'skip' }
  /** Only a person can decide; `key`: whether a key column of ours would do. */
  | { readonly by: 'nothing'; readonly why: string; readonly key: boolean };

export interface TableToIdentify {
  readonly table: UserTable;
  readonly choice: IdentityChoice;
  /** Its columns (`name type`) whose type knows no equality, so that the whole row cannot serve. */
  readonly incomparable: readonly string[];
  /** The configuration says so for this table: `fix.tables`, or `fix.default` where that is not auto. */
  readonly asked: boolean;
}

export interface Identities {
  /** Tables whose rows are replicated; sizes only of those that no index identifies. */
  readonly tables: readonly UserTable[];
  /** Those of them without a usable replica identity, and what becomes of it. */
  readonly lacking: readonly TableToIdentify[];
}

/** What the choice for a table depends on, beside the table itself. */
export interface ChoiceFacts {
  readonly database: string;
  readonly fix: Settings['fix'];
  /** Whether the engine takes the whole row. */
  readonly full: boolean;
  readonly engine: string;
  readonly largeBytes: number;
  readonly candidates: readonly IdentityCandidate[];
  readonly incomparable: readonly IncomparableColumns[];
  readonly obstacles: readonly SurrogateObstacle[];
}

/** Replica identities of one database: two queries, however many tables there are; one where nothing is missing, none where all tables are known. */
export async function identitiesOf(
  { source, settings, engine }: Pick<OperationContext, 'source' | 'settings' | 'engine'>,
  largeBytes = LARGE_BYTES,
  all?: readonly UserTable[],
): Promise<Identities> {
  const tables = (all ?? (await source.many(UserTable, identifiedTables()))).filter(isReplicated);
  if (tables.every((table) => table.identityIndex !== null)) return { tables, lacking: [] };
  const lacking = chooseIdentities(tables, {
    database: source.name,
    fix: settings.fix,
    full: engine.identities.full,
    engine: engine.name,
    largeBytes,
    ...(await source.together({
      candidates: { row: IdentityCandidate, query: identityCandidates() },
      incomparable: { row: IncomparableColumns, query: incomparableColumns() },
      obstacles: { row: SurrogateObstacle, query: surrogateObstacles() },
    })),
  });
  return { tables, lacking };
}

type Rule = Settings['fix']['tables'][number];

/** The rules for one database, each with which of its tables it means: `schema.name`, unquoted. */
export const rulesFor = (
  fix: Settings['fix'],
  database: string,
): { readonly rule: Rule; readonly fits: (table: string) => boolean }[] =>
  fix.tables
    .filter((rule) => matcherOf(rule.database)(database))
    .map((rule) => ({ rule, fits: matcherOf(rule.table) }));

/** A table as rules write it. */
export const plainName = ({ schema, name }: Pick<UserTable, 'schema' | 'name'>): string => `${schema}.${name}`;

/**
 * An index before everything else: it costs nothing, and the target finds a row by it without reading the table. Then the whole row, or
 * a key column where the configuration asks for it. Tables whose identity serves are left as they are.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
 */
export function chooseIdentities(tables: readonly UserTable[], facts: ChoiceFacts): TableToIdentify[] {
  const candidates = new Map<number, IdentityCandidate[]>();
  for (const candidate of facts.candidates) {
    const known = candidates.get(candidate.table);
    if (known) known.push(candidate);
    else candidates.set(candidate.table, [candidate]);
  }
  const columns = new Map(facts.incomparable.map((row) => [row.table, row.columns]));
  const obstacles = new Map(facts.obstacles.map((row) => [row.table, row.obstacle ?? ('type' as const)]));
  const rules = rulesFor(facts.fix, facts.database);
  return tables.flatMap((table): TableToIdentify[] => {
    if (table.identityIndex !== null) return [];
    const rule = rules.find(({ fits }) => fits(plainName(table)))?.rule;
    const wish = rule?.choice ?? { by: facts.fix.default };
    const known: Known = {
      table,
      facts,
      indexes: (candidates.get(table.oid) ?? []).toSorted((one, other) => one.columns - other.columns),
      incomparable: columns.get(table.oid) ?? [],
      obstacle: obstacles.get(table.oid),
      isNamed: rule?.table === plainName(table),
    };
    if (table.identity === 'f' && canBeFull(known) && !(rule && asksForKey(rule.choice))) return [];
    return [{ table, choice: choose(wish, known), incomparable: known.incomparable, asked: isAsked(rule, wish) }];
  });
}

const isAsked = (rule: unknown, wish: IdentityWish): boolean => rule !== undefined || wish.by !== 'auto';

const asksForKey = ({ by }: IdentityWish): boolean => by === 'index' || by === 'surrogate-key';

interface Known {
  readonly table: UserTable;
  readonly facts: ChoiceFacts;
  /** Those that serve, the fewest columns first. */
  readonly indexes: readonly IdentityCandidate[];
  readonly incomparable: readonly string[];
  /** `type`: its row type is used elsewhere, which forbids the rewrite alone. */
  readonly obstacle: NonNullable<SurrogateObstacle['obstacle']> | 'type' | undefined;
  /** A rule names the table itself, without a pattern. */
  readonly isNamed: boolean;
}

const canBeFull = ({ facts, incomparable }: Known): boolean => facts.full && incomparable.length === 0;

function choose(wish: IdentityWish, known: Known): IdentityChoice {
  const best = known.indexes[0]?.index;
  switch (wish.by) {
    case 'skip':
      return { by: 'skip' };
    case 'index':
      return known.indexes.some(({ index }) => index === wish.index)
        ? { by: 'index', index: wish.index }
        : nothing(
            `fix.tables asks for its index "${wish.index}", which does not serve: it must be there, unique, not deferrable, whole, and on NOT NULL columns`,
            known,
          );
    case 'full':
      return canBeFull(known)
        ? { by: 'full' }
        : nothing(`fix.tables asks for the whole row, but ${whyNotFull(known)}`, known);
    case 'surrogate-key':
      return best === undefined ? surrogateKey(known) : { by: 'index', index: best };
    case 'auto':
      if (best !== undefined) return { by: 'index', index: best };
      return canBeFull(known)
        ? { by: 'full' }
        : nothing(`there is no unique index on NOT NULL columns, and ${whyNotFull(known)}`, known);
    default:
      return wish satisfies never;
  }
}

const nothing = (why: string, known: Known): IdentityChoice => ({
  by: 'nothing',
  why,
  key: known.obstacle === undefined || known.obstacle === 'type',
});

const whyNotFull = ({ facts, incomparable }: Known): string =>
  facts.full
    ? `the whole row cannot identify it, since the type of these columns knows no equality: ${incomparable.join(', ')}`
    : `the engine ${facts.engine} cannot use the whole row`;

function surrogateKey(known: Known): IdentityChoice {
  const { table, facts, obstacle, isNamed } = known;
  if (obstacle !== undefined && obstacle !== 'type') {
    return nothing(`the configuration asks for a key column, but ${OBSTACLES[obstacle]}`, known);
  }
  const isLarge = table.bytes >= facts.largeBytes;
  if (isLarge && !isNamed) {
    const megabytes = Math.round(table.bytes / 1_048_576);
    return nothing(
      `a table of ${megabytes} MB gets a key column only where fix.tables names it without a pattern`,
      known,
    );
  }
  return { by: 'surrogate-key', inBatches: isLarge || obstacle === 'type' };
}

const OBSTACLES = {
  partition: 'it is a partition, and a column can only be added to its root, with all partitions',
  typed: 'it is a typed table, which has the columns of its type',
  parent: 'other tables inherit from it and would get the column too',
  taken: 'it has a column __pgconvoy_id that is not of our making',
} as const;
