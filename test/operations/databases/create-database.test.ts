import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { letIn } from '../../../src/operations/cutover/let-in.ts';
import { copyDatabasePrivileges } from '../../../src/operations/databases/copy-database-privileges.ts';
import { copyPrivilegesTogether } from '../../../src/operations/databases/copy-privileges-together.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { onServer, TestPair } from '../../helpers/pair.ts';

const opened = { fencedAt: 'then', openedAt: 'now', lsn: '0/1', outageMs: 1 };

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

/** A role of the same name on both sides. */
async function role(base: string, attributes = ''): Promise<string> {
  const name = pair.name(base);
  for (const side of ['source', 'target'] as const) {
    await pair.query(side, 'postgres', `create role ${id(name).text} ${attributes}`);
  }
  return name;
}

const definition = async (side: 'source' | 'target', name: string) =>
  pair.query(
    side,
    'postgres',
    `select pg_get_userbyid(datdba) as owner, pg_encoding_to_char(encoding) as encoding, datcollate, datctype, datistemplate,
            shobj_description(d.oid, 'pg_database') as comment,
            (select array_agg(coalesce(r.rolname, '') || ':' || c order by r.rolname, c collate "C") from pg_db_role_setting s
               cross join unnest(setconfig) c left join pg_roles r on r.oid = setrole where setdatabase = d.oid) as settings
       from pg_database d where datname = '${name.replaceAll("'", "''")}'`,
  );

const accessOf = async (side: 'source' | 'target', name: string) =>
  pair.query(
    side,
    'postgres',
    `select datconnlimit, array(select (case grantee when 0 then 'public' else pg_get_userbyid(grantee) end) || ' ' || privilege_type
              || case when is_grantable then '*' else '' end || ' by ' || pg_get_userbyid(grantor)
              from aclexplode(coalesce(datacl, acldefault('d', datdba))) order by 1) as acl
       from pg_database where datname = '${name.replaceAll("'", "''")}'`,
  );

test('owner, encoding, locale, settings and comment are those of the source, and it can be taken back', async () => {
  const owner = await role('Owner "of" it');
  const reader = await role('reader, %', 'login');
  const name = await pair.database('My "odd" DB');
  pair.expectDatabase(name);
  const database = id(name).text;
  await pair.query(
    'source',
    name,
    `alter database ${database} owner to ${id(owner).text};
     alter database ${database} set search_path = "$user", "My ""odd"" schema", public;
     alter database ${database} set work_mem = '3MB';
     alter database ${database} set app.tenant = 'it''s \\ "a", b';
     alter role ${id(reader).text} in database ${database} set search_path = '';
     alter role ${id(reader).text} in database ${database} set temp_tablespaces = '';
     alter database ${database} set old_snapshot_threshold_is_gone.x = 'kept';
     comment on database ${database} is 'it''s "commented"';`,
  );
  const { output } = await proveContract(pair, createDatabase, name);
  expect(output).toMatchObject({ owner, encoding: 'UTF8', unknownSettings: [] });
  expect(await definition('target', name)).toEqual(await definition('source', name));
});

test('other encodings and locales', async () => {
  const name = pair.name('Latin');
  pair.expectDatabase(name);
  await onServer(
    pair.source,
    'postgres',
    `create database ${id(name).text} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`,
  );
  await proveContract(pair, createDatabase, name);
  expect(await definition('target', name)).toEqual(await definition('source', name));
});

test('ICU locales', async () => {
  const name = pair.name('icu');
  pair.expectDatabase(name);
  await onServer(
    pair.source,
    'postgres',
    `create database ${id(name).text} template template0 encoding 'UTF8' locale_provider icu icu_locale 'de-DE' locale 'C'`,
  );
  await proveContract(pair, createDatabase, name);
  const [row] = await pair.query(
    'target',
    'postgres',
    `select datlocprovider::text as provider, datlocale from pg_database where datname = '${name}'`,
  );
  expect(row).toEqual({ provider: 'i', datlocale: 'de-DE' });
});

describe('who gets in', () => {
  test('nobody but superusers before the privileges are copied; afterwards those of the source', async () => {
    const owner = await role('landlord', 'login');
    const guest = await role('guest "ü"', 'login');
    const friend = await role('friend', 'login');
    // Both orders of names: whoever handed on comes behind the one and ahead of the other.
    const lodger = await role('a lodger');
    const tenant = await role('tenant');
    const name = await pair.database('guarded');
    await pair.query(
      'source',
      name,
      `alter database ${id(name).text} owner to ${id(owner).text};
       revoke all on database ${id(name).text} from public;
       grant connect on database ${id(name).text} to ${id(guest).text} with grant option;
       set role ${id(guest).text};
       grant connect on database ${id(name).text} to ${id(friend).text} with grant option;
       set role ${id(friend).text};
       grant connect on database ${id(name).text} to ${id(lodger).text}, ${id(tenant).text};
       reset role;
       alter database ${id(name).text} connection limit 17`,
    );
    await runOperation(createDatabase, pair.context(name));
    const closed = await pair.query(
      'target',
      'postgres',
      `select r, has_database_privilege(r, '${name}', 'connect, temporary') as may
         from unnest(array['${owner}', '${guest}', '${friend}']) r`,
    );
    expect(closed.map((row) => row['may'])).toEqual([false, false, false]);

    await proveContract(pair, copyDatabasePrivileges, name);
    const granted = (await accessOf('source', name))[0]?.['acl'];
    expect(granted).toHaveLength(7);
    expect(await accessOf('target', name)).toMatchObject([{ acl: granted }]);
    // What is taken back from the first of them, all others lose.
    await pair.query('source', name, `revoke connect on database ${id(name).text} from ${id(guest).text} cascade`);
    await runOperation(copyDatabasePrivileges, pair.context(name));
    // Whatever they are allowed to, nobody gets in before it is decided.
    expect(await accessOf('target', name)).toMatchObject([{ datconnlimit: 0 }]);
    await letIn([pair.context(name)], async () => {});
    expect(await accessOf('target', name)).toEqual(await accessOf('source', name));
  });

  test('of all databases together: each as on the source, in one transaction, killed wherever', async () => {
    const owner = await role('Landlady "of" many', 'login');
    const guest = await role('guest, of many', 'login');
    const granted = `revoke all on database NAME from public;
       grant connect, create on database NAME to ${id(guest).text} with grant option;
       set role ${id(guest).text};
       grant connect on database NAME to ${id(owner).text}, public;
       reset role`;
    const databases = [
      ['My "odd" together', `alter database NAME owner to ${id(owner).text}; ${granted}`],
      ['plain together', 'alter database NAME connection limit 3'],
      [
        'revoked together',
        `grant temporary on database NAME to ${id(owner).text}; revoke connect on database NAME from public`,
      ],
    ] as const;
    const names: string[] = [];
    for (const [base, statements] of databases) {
      const name = await pair.database(base);
      names.push(name);
      await pair.query('source', name, statements.replaceAll('NAME', id(name).text));
      await runOperation(createDatabase, pair.context(name));
    }
    const { output } = await proveContract(pair, copyPrivilegesTogether, undefined, { databases: names });
    expect(output).toEqual({ databases: 3 });
    const aclOf = async (side: 'source' | 'target', name: string) => (await accessOf(side, name))[0]?.['acl'];
    for (const name of names) {
      expect(await aclOf('target', name)).toEqual(await aclOf('source', name));
      expect(await accessOf('target', name)).toMatchObject([{ datconnlimit: 0 }]);
      // What one step says of one, the other says of all.
      expect((await copyDatabasePrivileges.check(pair.context(name))).holds).toBe(true);
    }

    // What cannot be had for one is had for none: a role that the target does not know.
    const [, plain, revoked] = names;
    const stranger = pair.name('stranger');
    await pair.query('source', 'postgres', `create role ${id(stranger).text}`);
    await copyPrivilegesTogether.undo!(pair.context(undefined, { databases: names }));
    await pair.query('source', 'postgres', `grant create on database ${id(revoked!).text} to ${id(stranger).text}`);
    const together = () => runOperation(copyPrivilegesTogether, pair.context(undefined, { databases: names }));
    const closed = await accessOf('target', plain!);
    await expect(together()).rejects.toThrow(/stranger/);
    expect(await accessOf('target', plain!)).toEqual(closed);
    await pair.query('target', 'postgres', `create role ${id(stranger).text}`);
    await proveKilledAndRunAgain(pair, copyPrivilegesTogether, undefined, [2, 5, 8, 12], { databases: names });
    for (const name of names) expect(await aclOf('target', name)).toEqual(await aclOf('source', name));
    expect(await together()).toMatchObject({ changed: false });
  });

  test('the ACL of before the fence counts', async () => {
    const name = await pair.database('fenced');
    await runOperation(createDatabase, pair.context(name));
    const before = await accessOf('source', name);
    const [written] = await pair.query(
      'source',
      'postgres',
      `select pg_get_userbyid(datdba)::text as owner, coalesce(datacl, acldefault('d', datdba))::text as acl
         from pg_database where datname = ${lit(name).text}`,
    );
    await pair
      .context(name)
      .sourceLedger.record(
        { kind: 'fence', database: name },
        { ...written, connectionLimit: -1, readOnly: null, fencedAt: 'now' },
      );
    await pair.query(
      'source',
      'postgres',
      `revoke connect on database ${id(name).text} from public; alter database ${id(name).text} connection limit 0;
       alter database ${id(name).text} set default_transaction_read_only = on`,
    );
    expect((await createDatabase.check(pair.context(name))).holds).toBe(true);
    await runOperation(copyDatabasePrivileges, pair.context(name));
    await letIn([pair.context(name)], async () => {});
    expect(await accessOf('target', name)).toEqual(before);
  });

  test('a database that was opened is neither closed nor dropped', async () => {
    const name = await pair.database('opened');
    await runOperation(createDatabase, pair.context(name));
    await runOperation(copyDatabasePrivileges, pair.context(name));
    await pair.context(name).targetLedger.record(openedKey(name), opened);
    expect((await createDatabase.check(pair.context(name))).holds).toBe(true);
    expect((await copyDatabasePrivileges.check(pair.context(name))).holds).toBe(true);
    expect(await createDatabase.undo!(pair.context(name))).toBe(false);
    expect(await definition('target', name)).toHaveLength(1);
    // The cutover has let go of it: a second setup must not take it for somebody else's.
    await pair.query('target', name, 'create table theirs (a int)');
    expect((await createDatabase.check(pair.context(name))).holds).toBe(true);
  });
});

describe('a database that is there already', () => {
  test('with objects of users: refused, and nothing is changed', async () => {
    const name = await pair.database('taken', 'create table t (a int)', ['source', 'target']);
    const before = [await definition('target', name), await accessOf('target', name)];
    await expect(runOperation(createDatabase, pair.context(name))).rejects.toThrow(/holds 1 objects.*public\.t/);
    expect([await definition('target', name), await accessOf('target', name)]).toEqual(before);
    expect(await createDatabase.undo!(pair.context(name))).toBe(false);
  });

  test('empty: taken, and given back as it was', async () => {
    const name = await pair.database('empty', '', ['source', 'target']);
    await pair.query('target', 'postgres', `comment on database ${id(name).text} is 'theirs'`);
    await pair.query('target', 'postgres', `alter database ${id(name).text} set work_mem = '5MB'`);
    const before = [await definition('target', name), await accessOf('target', name)];
    await proveContract(pair, createDatabase, name);
    await pair.query('source', name, 'create schema s; create table s.t (a int); create extension hstore');
    await runOperation(copySchema, pair.context(name));
    expect(await createDatabase.undo!(pair.context(name))).toBe(true);
    expect(await pair.query('target', name, 'select from pg_class where oid >= 16384')).toEqual([]);
    expect([await definition('target', name), await accessOf('target', name)]).toEqual(before);
  });

  test('with another encoding: refused', async () => {
    const name = await pair.database('differs');
    await onServer(
      pair.target,
      'postgres',
      `create database ${id(name).text} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`,
    );
    await expect(runOperation(createDatabase, pair.context(name))).rejects.toThrow(
      /encoding SQL_ASCII instead of UTF8/,
    );
  });
});

test('killed at any point it converges', async () => {
  const name = await pair.database('killed');
  await proveKilledAndRunAgain(pair, createDatabase, name, [5, 15, 25, 35, 50]);
  expect(await definition('target', name)).toEqual(await definition('source', name));
});

test('from 10 to 18: a setting that the target does not know is reported, not missed', async () => {
  await using old = await TestPair.open({ source: 10, target: 18 });
  const name = await old.database('From "ten"');
  await old.query('source', name, `alter database ${id(name).text} set operator_precedence_warning = on`);
  const { output } = await proveContract(old, createDatabase, name);
  expect(output).toMatchObject({ unknownSettings: ['operator_precedence_warning'] });
  await runOperation(copyDatabasePrivileges, old.context(name));
});
