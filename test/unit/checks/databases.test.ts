import { describe, expect, test } from 'vitest';
import type { Settings } from '../../../src/config/schema.ts';
import { isOlder, judgeAvailable, judgePreloaded } from '../../../src/operations/checks/database/extensions.ts';
import { judgeLocale } from '../../../src/operations/checks/database/locale.ts';
import {
  judgeEventTriggers,
  judgeFunctions,
  judgePublications,
  judgeTriggers,
} from '../../../src/operations/checks/database/code.ts';
import { judgeTargetDatabase } from '../../../src/operations/checks/database/target-database.ts';
import {
  judgeDeferrable,
  judgeForeignKeys,
  judgeGenerated,
  judgeNode,
} from '../../../src/operations/checks/database/pglogical.ts';
import { judgeDatabaseSettings, judgeReservedSchema } from '../../../src/operations/checks/database/names.ts';
import {
  judgeForeignServers,
  judgeIdentities,
  judgeInvalidIndexes,
  judgeNotValid,
  judgeOids,
  judgeRemovedTypes,
  judgeSlowIdentities,
} from '../../../src/operations/checks/database/tables.ts';
import {
  judgeConfigTables,
  judgeLargeObjects,
  judgeMaterializedViews,
  judgeUnlogged,
} from '../../../src/operations/checks/database/unreplicated.ts';
import { chooseIdentities } from '../../../src/operations/tables/identity.ts';
import type { ChoiceFacts } from '../../../src/operations/tables/identity.ts';
import type { UserTable } from '../../../src/postgres/catalog/tables.ts';

const codes = (found: readonly { code: string; severity: string }[]) =>
  found.map(({ code, severity }) => `${severity} ${code}`);

const CARRY: Settings['notReplicated'] = {
  unloggedTables: 'copy',
  largeObjects: 'copy',
  materializedViews: 'refresh',
  extensionRows: 'copy',
};

const table = (oid: number, rest: Partial<UserTable> = {}): UserTable => ({
  oid,
  schema: 'public',
  name: `t${oid}`,
  kind: 'r',
  persistence: 'p',
  isPartition: false,
  identity: 'd',
  identityIndex: null,
  bytes: 0,
  rows: 0,
  ...rest,
});

describe('replica identities', () => {
  const FIX: Settings['fix'] = { default: 'auto', tables: [] };
  const facts = (rest: Partial<ChoiceFacts> = {}): ChoiceFacts => ({
    database: 'shop',
    fix: FIX,
    full: true,
    engine: 'native',
    largeBytes: 100,
    candidates: [],
    incomparable: [],
    obstacles: [],
    ...rest,
  });
  const rule = (
    text: string,
    choice: Settings['fix']['tables'][number]['choice'],
    database = '*',
  ): Settings['fix']['tables'][number] => ({ database, table: text, choice });
  const choices = (tables: readonly UserTable[], rest: Partial<ChoiceFacts>) =>
    chooseIdentities(tables, facts(rest)).map(({ table: { oid }, choice }) => [oid, choice]);

  test('an index before the whole row, the fewest columns first; the whole row only where it can be compared', () => {
    const chosen = choices(
      [
        table(1, { identityIndex: 't1_pkey' }),
        table(2),
        table(3),
        table(4),
        table(5, { identity: 'f' }),
        table(6, { identity: 'f' }),
        table(7),
      ],
      {
        candidates: [
          { table: 2, index: 'wide', columns: 3 },
          { table: 2, index: 'b', columns: 1 },
          { table: 2, index: 'c', columns: 1 },
          { table: 7, index: 'key', columns: 1 },
        ],
        incomparable: [
          { table: 4, columns: ['body json'] },
          { table: 6, columns: ['at point'] },
          { table: 7, columns: ['body json'] },
        ],
      },
    );
    expect(chosen).toEqual([
      [2, { by: 'index', index: 'b' }],
      [3, { by: 'full' }],
      [4, { by: 'nothing', why: expect.stringContaining('knows no equality: body json'), key: true }],
      [6, { by: 'nothing', why: expect.stringContaining('knows no equality: at point'), key: true }],
      [7, { by: 'index', index: 'key' }],
    ]);
  });

  test('an engine that cannot use the whole row: an index, else a person decides', () => {
    const chosen = choices([table(1), table(2, { identity: 'f' }), table(3)], {
      full: false,
      engine: 'other',
      candidates: [{ table: 3, index: 'key', columns: 1 }],
    });
    const nothing = { by: 'nothing', why: expect.stringContaining('engine other cannot use the whole row'), key: true };
    expect(chosen).toEqual([
      [1, nothing],
      [2, nothing],
      [3, { by: 'index', index: 'key' }],
    ]);
  });

  test('the first rule that fits counts; tables whose identity serves are left alone', () => {
    const chosen = choices(
      [
        table(1, { schema: 'Odd, 100%', name: 'a.b' }),
        table(2),
        table(3),
        table(4),
        table(5, { identityIndex: 't5_pkey' }),
        table(6, { identity: 'f' }),
        table(7, { identity: 'f' }),
      ],
      {
        candidates: [
          { table: 2, index: 'small', columns: 1 },
          { table: 2, index: 'wide', columns: 2 },
          { table: 4, index: 'key', columns: 1 },
        ],
        fix: {
          default: 'auto',
          tables: [
            rule('Odd, 100%.a.b', { by: 'skip' }),
            rule('public.t2', { by: 'index', index: 'wide' }),
            rule('public.t3', { by: 'full' }, 'other'),
            rule('public.t3', { by: 'index', index: 'gone' }, 'sh*'),
            rule('public.t4', { by: 'full' }),
            rule('public.t6', { by: 'surrogate-key' }),
            rule('*', { by: 'auto' }),
          ],
        },
      },
    );
    expect(chosen).toEqual([
      [1, { by: 'skip' }],
      [2, { by: 'index', index: 'wide' }],
      [3, { by: 'nothing', why: expect.stringContaining('its index "gone", which does not serve'), key: true }],
      [4, { by: 'full' }],
      [6, { by: 'surrogate-key', inBatches: false }],
    ]);
  });

  test('a key column: never where an index serves, in a large table only by its name, and then in batches', () => {
    const large = { bytes: 100 };
    const chosen = choices([table(1), table(2), table(3, large), table(4, large), table(5), table(6), table(7)], {
      candidates: [{ table: 2, index: 'key', columns: 1 }],
      obstacles: [
        { table: 5, obstacle: 'partition' },
        { table: 6, obstacle: null },
        { table: 7, obstacle: 'taken' },
      ],
      fix: { default: 'surrogate-key', tables: [rule('public.t4', { by: 'surrogate-key' })] },
    });
    expect(chosen).toEqual([
      [1, { by: 'surrogate-key', inBatches: false }],
      [2, { by: 'index', index: 'key' }],
      [3, { by: 'nothing', why: expect.stringContaining('only where fix.tables names it'), key: true }],
      [4, { by: 'surrogate-key', inBatches: true }],
      [5, { by: 'nothing', why: expect.stringContaining('it is a partition'), key: false }],
      // Its row type is used by another table, which forbids the rewrite.
      [6, { by: 'surrogate-key', inBatches: true }],
      [7, { by: 'nothing', why: expect.stringContaining('not of our making'), key: false }],
    ]);
  });

  test('the default leaves a whole row that serves, which somebody has chosen', () => {
    expect(choices([table(1, { identity: 'f' })], { fix: { default: 'surrogate-key', tables: [] } })).toEqual([]);
  });

  test('each says what fix would do, or that a person has to', () => {
    const odd = { schema: 'My "s"', name: 'Order ${Items}' };
    const rest = { incomparable: [], asked: false };
    const nothing = { by: 'nothing', why: 'of something', key: true } as const;
    const found = judgeIdentities(
      'shop',
      [
        { table: table(1, odd), choice: { by: 'index', index: 'Key "1"' }, ...rest },
        { table: table(2, odd), choice: { by: 'full' }, ...rest },
        { table: table(3, { ...odd, identity: 'f' }), choice: nothing, ...rest, incomparable: ['body json'] },
        { table: table(4, odd), choice: { by: 'surrogate-key', inBatches: true }, ...rest },
        { table: table(5, odd), choice: { by: 'skip' }, ...rest },
        { table: table(6, { ...odd, identity: 'f' }), choice: { ...nothing, key: false }, ...rest },
      ],
      { name: 'native', identities: { full: false } },
    );
    expect(codes(found)).toEqual([
      'block no-replica-identity',
      'block no-replica-identity',
      'block identity-without-equality',
      'block no-replica-identity',
      'block no-replica-identity',
      'block no-replica-identity',
    ]);
    expect(found[0]?.remedy).toContain(
      'ALTER TABLE "My ""s"""."Order ${Items}" REPLICA IDENTITY USING INDEX "Key ""1""";',
    );
    expect(found[1]?.remedy).toContain('REPLICA IDENTITY FULL;');
    expect(found[2]?.message).toContain('(body json)');
    expect(found[2]?.remedy).toContain('ADD PRIMARY KEY');
    expect(found[2]?.remedy).toContain(
      '    - { database: "shop", table: "My \\"s\\".Order $${Items}", choice: surrogate-key }\n',
    );
    expect(found[3]?.remedy).toContain('__pgconvoy_id');
    expect(found[4]?.remedy).toContain('(skip)');
    expect(found[5]?.message).toContain('which the engine native cannot use');
    expect(found[5]?.remedy).not.toContain('surrogate-key');
  });
});

describe('extensions', () => {
  test.each([
    ['1.9', '1.10', true],
    ['1.10', '1.9', false],
    ['3.5.0', '3.5', false],
    ['2.0', '2.0', false],
  ])('%s is older than %s: %s', (one, other, older) => {
    expect(isOlder(one, other)).toBe(older);
  });

  test('missing, older, newer, and older with an upgrade path to the version', () => {
    const available = (name: string, defaultVersion: string, ...versions: string[]) => ({
      name,
      defaultVersion,
      versions,
    });
    const found = judgeAvailable(
      'shop',
      ['missing', 'older', 'newer', 'both'].map((name) => ({ name, version: '1.9' })),
      [
        available('older', '1.8', '1.7', '1.8'),
        available('newer', '1.10', '1.10'),
        available('both', '1.8', '1.8', '1.9'),
      ],
    );
    expect(found.map(({ code, object }) => `${code} ${object}`)).toEqual([
      'extension-missing missing',
      'extension-older older',
    ]);
  });

  test('only libraries of installed extensions must be preloaded', () => {
    const found = judgePreloaded('shop', ['pg_cron', 'hstore'], ['auto_explain', 'pg_cron'], ['pg_stat_statements']);
    expect(found).toMatchObject([{ code: 'preload-missing', severity: 'block', object: 'pg_cron' }]);
    expect(found[0]?.remedy).toContain(`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements', 'pg_cron';`);
  });

  test('rows of users in tables of extensions', () => {
    const [finding] = judgeConfigTables(
      'shop',
      [{ extension: 'pg_cron', schema: 'cron', name: 'job', rows: 3 }],
      CARRY,
    );
    expect(finding).toMatchObject({ code: 'extension-config-data', severity: 'warning', object: 'cron.job' });
    expect(finding?.message).toContain('(3)');
  });
});

describe('locale', () => {
  const here = {
    collate: 'de_DE.UTF-8',
    ctype: 'de_DE.UTF-8',
    provider: 'libc',
    locale: null,
    version: '2.36',
  } as const;

  test.each([
    ['the same version', here, { version: '2.36' }, []],
    ['another version', here, { version: '2.41' }, ['warning collation-version']],
    ['nobody knows the source’s', { ...here, version: null }, { version: '2.41' }, ['warning collation-version']],
    ['by the bytes', { ...here, collate: 'C', version: null }, { version: null }, []],
    ['built in', { ...here, provider: 'builtin' as const, locale: 'C.UTF-8', version: '1' }, { version: '1' }, []],
    ['not there', here, { failure: 'could not create locale' }, ['block locale-missing']],
    [
      'ICU',
      { ...here, collate: 'C', provider: 'icu' as const, locale: 'de', version: '153.14' },
      { version: '153.120' },
      ['warning collation-version'],
    ],
  ])('%s', (_, source, target, expected) => {
    expect(codes(judgeLocale('shop', source, target))).toEqual(expected);
  });
});

test('settings that the target does not know, of the database and of a role in it', () => {
  const found = judgeDatabaseSettings(
    'My "odd" DB',
    [
      { role: null, name: 'force_parallel_mode' },
      { role: 'app', name: 'old_setting' },
      { role: null, name: 'work_mem' },
    ],
    new Set(['force_parallel_mode', 'old_setting']),
  );
  expect(found.map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining('ALTER DATABASE "My ""odd"" DB" RESET force_parallel_mode;'),
    expect.stringContaining('ALTER ROLE "app" IN DATABASE "My ""odd"" DB" RESET old_setting;'),
  ]);
});

test('objects in the schema that is ours are counted and some named', () => {
  expect(judgeReservedSchema('shop', [])).toEqual([]);
  const [finding] = judgeReservedSchema(
    'shop',
    Array.from({ length: 7 }, (_, n) => ({ kind: 'table', name: `t${n}` })),
  );
  expect(finding?.message).toContain('table "t4" and 2 more');
});

test('removed types and what to make of them', () => {
  const found = judgeRemovedTypes('shop', [
    { table: 'public.t', column: 'at', type: 'abstime' },
    { table: 'public.t', column: 'spans', type: '_reltime' },
  ]);
  expect(found.map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining('ALTER TABLE public.t ALTER COLUMN "at" TYPE timestamptz;'),
    expect.stringContaining('TYPE interval[];'),
  ]);
});

describe('a database of that name on the target', () => {
  const definition = {
    name: 'My "odd" DB',
    owner: 'app',
    encoding: 'UTF8',
    collate: 'C',
    ctype: 'C',
    provider: 'c' as const,
    locale: null,
    icuRules: null,
    tablespace: 'pg_default',
    isTemplate: false,
    comment: null,
    connectionLimit: -1,
    acl: null,
    settings: [],
    isOpen: true,
  };

  test('empty and alike it is taken, whoever owns it', () => {
    expect(judgeTargetDatabase(definition, { ...definition, owner: 'postgres' }, undefined)).toEqual([]);
  });

  test('what it holds is named', () => {
    const [finding] = judgeTargetDatabase(definition, definition, { count: 12, examples: ['public.a', 'public.b'] });
    expect(finding).toMatchObject({ code: 'target-database-not-empty', severity: 'block', side: 'target' });
    expect(finding?.message).toContain('12 objects, among them public.a, public.b');
    expect(finding?.remedy).toContain('DROP DATABASE "My ""odd"" DB";');
  });

  test('what cannot be changed blocks; ICU locales are spelled in many ways', () => {
    const differing = judgeTargetDatabase(
      definition,
      { ...definition, encoding: 'LATIN1', collate: 'de_DE' },
      undefined,
    );
    expect(differing[0]?.message).toContain('encoding LATIN1 instead of UTF8, collate de_DE instead of C');
    const icu = { ...definition, provider: 'i' as const, locale: 'de' };
    expect(judgeTargetDatabase(icu, { ...icu, locale: 'de-DE', collate: 'C.UTF-8' }, undefined)).toEqual([]);
  });
});

test('large tables without a key are slow to replicate', () => {
  const large = { identity: 'f', bytes: 3 * 1024 ** 3 } as const;
  const tables = [table(1, large), table(2, { ...large, identity: 'd' }), table(3, { ...large, bytes: 1 })];
  const found = judgeSlowIdentities('shop', tables);
  expect(found).toMatchObject([{ code: 'slow-identity', severity: 'warning', object: 'public.t1' }]);
  expect(found[0]?.message).toContain('3072 MB');
});

describe('what replication does not carry', () => {
  const amount = { count: 7, bytes: 3 * 1_048_576 };

  test('is carried over, and how much that is', () => {
    const unlogged = table(2, { persistence: 'u', bytes: 9 * 1_048_576 });
    expect(judgeUnlogged('shop', [table(1), unlogged], CARRY)).toMatchObject([
      {
        code: 'unlogged-table',
        severity: 'warning',
        object: 'public.t2',
        message: expect.stringMatching(/\(9 MB\).*they are copied inside the outage/),
      },
    ]);
    expect(judgeLargeObjects('shop', { count: 0, bytes: 0 }, CARRY)).toEqual([]);
    expect(judgeLargeObjects('shop', amount, CARRY)).toMatchObject([
      { code: 'large-objects', severity: 'warning', message: expect.stringMatching(/\(7, 3 MB\).*while rows stream/) },
    ]);
    expect(judgeMaterializedViews('shop', amount, CARRY)).toMatchObject([
      { code: 'materialized-view', severity: 'warning', message: expect.stringMatching(/computed anew/) },
    ]);
  });

  test('is left, or blocks, where the configuration says so', () => {
    const leave = { ...CARRY, largeObjects: 'leave', materializedViews: 'leave' } as const;
    expect(judgeLargeObjects('shop', amount, leave)).toMatchObject([
      { severity: 'warning', message: expect.stringMatching(/they stay behind, as the configuration has it/) },
    ]);
    expect(judgeMaterializedViews('shop', amount, leave)).toMatchObject([
      { severity: 'warning', remedy: expect.stringContaining('{ materializedViews: refresh }') },
    ]);
    const [blocking] = judgeLargeObjects('shop', amount, { ...CARRY, largeObjects: 'block' });
    expect(blocking).toMatchObject({ severity: 'block', message: expect.stringMatching(/the configuration blocks/) });
    expect(blocking?.remedy).toContain("accept: [{ finding: large-objects, reason: '…' }]");
  });
});

test.each([
  [judgeOids('shop', [{ name: 'public."T"' }]), 'ALTER TABLE public."T" SET WITHOUT OIDS;'],
  [judgeInvalidIndexes('shop', [{ table: 'public.t', name: 'public."I"' }]), 'REINDEX INDEX public."I";'],
  [
    judgeNotValid('shop', [{ table: 'public.t', name: 'a "b"' }]),
    'ALTER TABLE public.t VALIDATE CONSTRAINT "a ""b""";',
  ],
  [
    judgeForeignServers('shop', [{ name: 'a b', wrapper: 'postgres_fdw', place: 'host=old', tables: 1, mappings: 2 }]),
    'ALTER SERVER "a b" OPTIONS',
  ],
  [
    judgeTriggers('shop', [{ table: 'public.t', name: 'a b', mode: 'REPLICA' }]),
    'ALTER TABLE public.t ENABLE TRIGGER "a b";',
  ],
  [judgeEventTriggers('shop', [{ name: 'a b' }]), 'ALTER EVENT TRIGGER "a b" DISABLE;'],
  [
    judgeFunctions('shop', [{ signature: '"S".f(integer)', schema: 'S', users: ['index', 'trigger'] }]),
    'ALTER FUNCTION "S".f(integer) SET search_path = "S", "public", pg_temp;',
  ],
  [judgePublications('shop', [{ name: 'a b' }]), 'point its subscribers there'],
])('remedy %#', (found, remedy) => {
  expect(found).toHaveLength(1);
  expect(found[0]?.remedy).toContain(remedy);
});

test('what pglogical cannot carry, and whose node a database is', () => {
  const found = [
    ...judgeGenerated('shop', [{ schema: 'public', name: 'Order Items', columns: ['gross, 100%', 'b'] }]),
    ...judgeDeferrable('shop', [{ schema: 'public', name: 'place', index: 'place "key"' }]),
    ...judgeForeignKeys('shop', 3),
    ...judgeNode('shop', 'theirs'),
  ];
  expect(codes(found)).toEqual([
    'block generated-column',
    'block deferrable-key',
    'warning truncate-with-foreign-keys',
    'warning pglogical-node',
  ]);
  expect(found[0]?.message).toContain(
    '"public"."Order Items" in database "shop" has generated columns ("gross, 100%", "b")',
  );
  expect(found[1]?.remedy).toContain('ALTER TABLE "public"."place" DROP CONSTRAINT "place ""key""", ADD …;');
  expect([...judgeForeignKeys('shop', 0), ...judgeNode('shop', undefined)]).toEqual([]);
});
