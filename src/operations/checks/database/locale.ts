import type { OperationContext } from '../../../engine/operation.ts';
import {
  CollationVersion,
  DatabaseLocale,
  databaseLocale,
  temporaryCollationVersion,
} from '../../../postgres/catalog/database-facts.ts';
import type { Cluster } from '../../../postgres/cluster.ts';
import { DatabaseError } from '../../../postgres/errors.ts';
import { fragment, id, lit, sql } from '../../../postgres/sql.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** The target knows the locale of the database, and sorts by it as the source does. */
export const locale: Concern = {
  name: 'locale',
  side: 'target',
  asks: ['source', 'target'],
  async look(context) {
    const { source, sourceCluster } = context;
    const here = await sourceCluster.maintenance.one(DatabaseLocale, databaseLocale(source.name));
    return judgeLocale(source.name, here, await answerFor(context, here));
  },
};

/** For so long what the target has said of a locale counts for the next database that has the same, milliseconds. */
const FRESH_MS = 30_000;

interface Answered {
  readonly at: number;
  readonly answer: Promise<LocaleAnswer>;
}
const answers = new WeakMap<Cluster, Map<string, Answered>>();

/** Most databases of a cluster have the same locale: the target is asked once for all that are checked together. */
function answerFor(context: OperationContext, here: DatabaseLocale): Promise<LocaleAnswer> {
  const { cluster } = context.targetCluster;
  const known = answers.get(cluster) ?? new Map<string, Answered>();
  answers.set(cluster, known);
  const key = JSON.stringify([here.provider, here.locale, here.collate, here.ctype]);
  const before = known.get(key);
  // Who asked may have been cancelled, or lost its session: that is nothing to the next one.
  if (before && Date.now() - before.at < FRESH_MS) return before.answer.catch(() => tryLocale(context, here));
  const answer = tryLocale(context, here);
  known.set(key, { at: Date.now(), answer });
  answer.catch(() => known.delete(key));
  return answer;
}

/** What the target says of a locale: its version (null: it keeps none), or why it cannot have it. */
export type LocaleAnswer = { readonly version: string | null } | { readonly failure: string };

class Tried extends Error {
  readonly version: string | null;
  constructor(version: string | null) {
    super();
    this.version = version;
  }
}

/**
 * Has the target make a collation of that locale, and takes it back: only so it opens the locale.
 * @see https://www.postgresql.org/docs/current/sql-createcollation.html
 */
async function tryLocale({ targetCluster }: OperationContext, here: DatabaseLocale): Promise<LocaleAnswer> {
  // The builtin provider asks nobody: it is the same wherever it is.
  if (here.provider === 'builtin') return { version: here.version };
  const definition =
    here.provider === 'icu'
      ? fragment`provider = icu, locale = ${lit(here.locale ?? '')}`
      : fragment`lc_collate = ${lit(here.collate)}, lc_ctype = ${lit(here.ctype)}`;
  const { maintenance } = targetCluster;
  try {
    await maintenance.transaction(async () => {
      await maintenance.run(sql`set local client_min_messages = error`);
      await maintenance.run(sql`create collation ${id('pg_temp', 'pgconvoy_probe')} (${definition})`);
      const { version } = await maintenance.one(CollationVersion, temporaryCollationVersion('pgconvoy_probe'));
      throw new Tried(version);
    });
  } catch (error) {
    if (error instanceof Tried) return { version: error.version };
    // Another encoding than the maintenance database's has shown that the locale is there.
    if (error instanceof DatabaseError && /does not match locale/.test(error.message)) return { version: null };
    if (error instanceof DatabaseError && ['22023', '42704', '22P02'].includes(error.sqlstate))
      return { failure: error.message };
    throw error;
  }
  return { version: null };
}

/** Locales that sort by the bytes: the same everywhere and for ever. */
const BYTES = /^(C|POSIX)$/;

export function judgeLocale(database: string, here: DatabaseLocale, there: LocaleAnswer): CheckFinding[] {
  const name = here.provider === 'libc' ? here.collate : (here.locale ?? '');
  const place = { side: 'target', database, object: name } as const;
  if ('failure' in there) {
    return [
      {
        ...place,
        code: 'locale-missing',
        severity: 'block',
        message: `The target cannot have the locale of database "${database}" (${here.provider} ${name}, ctype ${here.ctype}): ${there.failure}`,
        remedy:
          here.provider === 'icu'
            ? 'Use a target that is built with ICU and knows this locale.'
            : `Install the locale on the target's machine (on Debian: add it to /etc/locale.gen, then locale-gen), then restart the target.`,
      },
    ];
  }
  if (here.provider === 'builtin' || (here.provider === 'libc' && BYTES.test(here.collate))) return [];
  if (here.version === there.version && here.version !== null) return [];
  const told = (version: string | null) => version ?? 'unknown';
  return [
    {
      ...place,
      code: 'collation-version',
      severity: 'warning',
      message: `Collation ${name} (${here.provider}) of database "${database}" has version ${told(here.version)} on the source and ${told(there.version)} on the target: text may sort in another order there.`,
      remedy:
        'Indexes are built anew, so they are right. Compare order where it matters: ranges of text partitions, CHECK constraints and exclusion constraints on text, results of ORDER BY.',
    },
  ];
}
