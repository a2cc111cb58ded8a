import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError } from '../../errors.ts';
import { DatabaseDefinition, UserObjects, userObjects } from '../../postgres/catalog/database-definitions.ts';
import { SettingName, unknownSettings } from '../../postgres/catalog/settings.ts';
import { parseSetting, sameSetting, setClause } from '../../postgres/settings.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { fenceKey, proofKey } from '../cutover/fence.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { clearDatabase } from '../schema/clear-database.ts';
import { forgetSchema, schemaState } from '../schema/schema-state.ts';
import { closeTarget, targetDefinition } from './closed-database.ts';
import { restorePrivileges } from './database-privileges.ts';
import { dropDatabase } from './drop-database.ts';
import { sourceDefinition } from './source-definition.ts';

type Missing =
  | { readonly what: 'ledger' | 'database' | 'owner' | 'comment' | 'template mark' | 'closed to users' }
  | { readonly what: 'setting'; readonly role: string | null; readonly setting: string };

/** What was there before us, for a database that we did not make. */
const Before = z.union([z.object({ existed: DatabaseDefinition }), z.object({})]);

/**
 * The database of the source, made on the target from template0: owner, encoding, locale, settings, comment. Until the cutover
 * opens it, only superusers can connect. A database that is there already is taken only when it holds nothing of users.
 * @see https://www.postgresql.org/docs/current/sql-createdatabase.html
 */
export const createDatabase = defineOperation({
  name: 'create-database',
  title: 'The database exists on the target, closed to users',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({
    owner: z.string(),
    encoding: z.string(),
    collate: z.string(),
    tablespace: z.string(),
    /** Settings the target does not know any more. */
    unknownSettings: z.array(z.string()),
  }),

  async check(context) {
    const found = await targetDefinition(context);
    // From its opening on it belongs to the applications.
    if (found && (await openedDatabase(context))) return holds(factsOf(found, []));
    const wanted = await sourceDefinition(context);
    if (!found) return lacks<Missing>([{ what: 'database' }]);
    const ours = await context.targetLedger.find(ledgerKey(context));
    if (!ours) return lacks<Missing>([{ what: 'ledger' }]);
    refuseOtherLocale(context, wanted, found);
    const { settings, unknown } = await knownSettings(context, wanted);
    const missing: Missing[] = [];
    if (found.connectionLimit === -2) missing.push({ what: 'database' });
    if (found.owner !== wanted.owner) missing.push({ what: 'owner' });
    if (found.comment !== wanted.comment) missing.push({ what: 'comment' });
    if (found.isTemplate !== wanted.isTemplate) missing.push({ what: 'template mark' });
    for (const each of settings) {
      const there = found.settings.some(
        (other) => other.role === each.role && sameSetting(parseSetting(each.setting), parseSetting(other.setting)),
      );
      if (!there) missing.push({ what: 'setting', ...each });
    }
    if (found.isOpen) missing.push({ what: 'closed to users' });
    if (missing.length > 0) return lacks(missing);
    return holds(factsOf(found, unknown));
  },

  async apply(context) {
    const { targetCluster, targetLedger, target } = context;
    const { maintenance } = targetCluster;
    const wanted = await sourceDefinition(context);
    let found = await targetDefinition(context);
    if (found && !(await targetLedger.find(ledgerKey(context)))) await adopt(context, wanted, found);
    if (found?.connectionLimit === -2) {
      await dropDatabase(context);
      found = undefined;
    }
    if (!found) {
      await targetLedger.record(ledgerKey(context), {});
      await create(context, wanted);
    }
    const { settings } = await knownSettings(context, wanted);
    const present = found ?? { owner: wanted.owner, comment: null, isTemplate: false };
    const statements = [...ownStatements(target.name, present, wanted), ...replayed(target.name, settings)];
    // Several statements in one message: they commit together.
    if (statements.length > 0) await maintenance.run(sql`${join(statements, '; ')}`);
    await closeTarget(context);
  },

  async undo(context) {
    const { targetLedger } = context;
    const entry = await targetLedger.find(ledgerKey(context));
    if (!entry) return false;
    // From its opening on it holds what nobody else has.
    if (await openedDatabase(context)) {
      await targetLedger.forget(ledgerKey(context));
      return false;
    }
    const before = Before.parse(entry.before);
    if ('existed' in before) await giveBack(context, before.existed);
    else if (await targetDefinition(context)) await dropDatabase(context);
    await forgetSchema(context);
    // Where applications had been led back from it, it was fenced.
    for (const key of [fenceKey, proofKey]) await targetLedger.forget(key(context.target.name));
    await targetLedger.forget(ledgerKey(context));
    return true;
  },
});

const factsOf = ({ owner, encoding, collate, tablespace }: DatabaseDefinition, unknown: readonly string[]) => ({
  owner,
  encoding,
  collate,
  tablespace,
  unknownSettings: [...unknown],
});

/** Notes that setup has made a database, or has taken one that was there. */
export const databaseKey = (database: string) => ({ kind: 'database', database });

const ledgerKey = ({ target }: OperationContext) => databaseKey(target.name);

async function create({ targetCluster, target, log }: OperationContext, wanted: DatabaseDefinition): Promise<void> {
  const { maintenance } = targetCluster;
  const { major } = await targetCluster.facts();
  const options: Fragment[] = [
    fragment`template template0`,
    fragment`owner ${id(wanted.owner)}`,
    fragment`encoding ${lit(wanted.encoding)}`,
    fragment`lc_collate ${lit(wanted.collate)}`,
    fragment`lc_ctype ${lit(wanted.ctype)}`,
    // Nobody gets in between CREATE and REVOKE.
    fragment`connection limit 0`,
  ];
  if (offers(major, 'localeProvider')) {
    if (wanted.provider === 'i') options.push(fragment`locale_provider icu icu_locale ${lit(wanted.locale ?? '')}`);
    else if (wanted.provider === 'b')
      options.push(fragment`locale_provider builtin builtin_locale ${lit(wanted.locale ?? 'C')}`);
    else options.push(fragment`locale_provider libc`);
    if (wanted.icuRules !== null) options.push(fragment`icu_rules ${lit(wanted.icuRules)}`);
  }
  if (wanted.tablespace !== 'pg_default') {
    const { tablespace } = wanted;
    if (await maintenance.maybe(z.object({}), sql`select from pg_tablespace where spcname = ${tablespace}`))
      options.push(fragment`tablespace ${id(tablespace)}`);
    else log.warn({ tablespace }, 'no such tablespace on the target: the default is used');
  }
  await maintenance.run(sql`create database ${id(target.name)} with ${join(options, ' ')}`);
}

/** Takes a database that somebody else made, as long as nothing in it can be overwritten. Changes nothing but the ledger. */
async function adopt(context: OperationContext, wanted: DatabaseDefinition, found: DatabaseDefinition): Promise<void> {
  const { target, targetLedger } = context;
  const objects = await target.maybe(UserObjects, userObjects());
  if (objects) {
    throw new PgconvoyError(
      `target, database "${target.name}": it exists already and holds ${objects.count} objects that pgconvoy has not made, ` +
        `among them ${objects.examples.join(', ')}`,
      {
        hint: `Nothing was changed. Drop or rename the database on the target, or leave it out (databases.exclude), then retry the step.`,
      },
    );
  }
  refuseOtherLocale(context, wanted, found);
  await targetLedger.record(ledgerKey(context), { existed: found });
}

/** Encoding and locale cannot be changed afterwards. How ICU spells a locale differs by major, so that is not compared. */
function refuseOtherLocale({ target }: OperationContext, wanted: DatabaseDefinition, found: DatabaseDefinition): void {
  const keys = ['encoding', 'provider', ...(wanted.provider === 'c' ? (['collate', 'ctype'] as const) : [])] as const;
  const different = keys.filter((key) => wanted[key] !== found[key]);
  if (different.length === 0) return;
  const values = different.map((key) => `${key} ${found[key]} instead of ${wanted[key]}`).join(', ');
  throw new PgconvoyError(`target, database "${target.name}": it exists with ${values}`, {
    hint: 'These cannot be changed: drop or rename that database on the target, then retry the step.',
  });
}

/** Settings that the target knows, and the names of those it does not (removed since the source's major). */
async function knownSettings({ targetCluster }: OperationContext, { settings }: DatabaseDefinition) {
  const names = settings.map(({ setting }) => parseSetting(setting).name);
  if (names.length === 0) return { settings, unknown: [] };
  const rows = await targetCluster.maintenance.many(SettingName, unknownSettings(names));
  const unknown = new Set(rows.map((row) => row.name));
  return {
    settings: settings.filter(({ setting }) => !unknown.has(parseSetting(setting).name)),
    unknown: [...unknown],
  };
}

type Own = Pick<DatabaseDefinition, 'owner' | 'comment' | 'isTemplate'>;

/** Owner, comment and template mark, where they are not as wanted. */
const ownStatements = (database: string, present: Own, { owner, comment, isTemplate }: Own): Fragment[] => [
  ...(present.owner === owner ? [] : [fragment`alter database ${id(database)} owner to ${id(owner)}`]),
  ...(present.comment === comment
    ? []
    : [fragment`comment on database ${id(database)} is ${comment === null ? fragment`null` : lit(comment)}`]),
  ...(present.isTemplate === isTemplate
    ? []
    : [fragment`alter database ${id(database)} is_template ${isTemplate ? fragment`true` : fragment`false`}`]),
];

const replayed = (database: string, settings: DatabaseDefinition['settings']): Fragment[] =>
  settings.map(({ role, setting }) => {
    const what = setClause(parseSetting(setting));
    return role === null
      ? fragment`alter database ${id(database)} set ${what}`
      : fragment`alter role ${id(role)} in database ${id(database)} set ${what}`;
  });

/** Puts a database that was there before us back as it was. */
async function giveBack(context: OperationContext, before: DatabaseDefinition): Promise<void> {
  const { targetCluster, target } = context;
  const found = await targetDefinition(context);
  if (!found) return;
  // It was empty when we took it.
  if ((await schemaState(context)) !== 'nothing') await clearDatabase(context);
  const reset = [...new Set(found.settings.map((each) => each.role))].map((role) =>
    role === null
      ? fragment`alter database ${id(target.name)} reset all`
      : fragment`alter role ${id(role)} in database ${id(target.name)} reset all`,
  );
  const statements = [
    ...ownStatements(target.name, found, before),
    ...reset,
    ...replayed(target.name, before.settings),
  ];
  if (statements.length > 0) await targetCluster.maintenance.run(sql`${join(statements, '; ')}`);
  await restorePrivileges(context, new Map([[target.name, before]]), targetCluster);
}
