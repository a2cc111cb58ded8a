import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copyRoles } from '../../../src/operations/roles/copy-roles.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { onServer, TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import type { Cluster, Major } from '../../helpers/servers.ts';

/** Roles belong to the whole cluster, so these tests have clusters of their own; every statement goes into the log. */
const logging = { log_statement: 'all', log_min_duration_statement: 0 };

/** Everything about roles but how memberships are stored. */
const rolesOn = (server: Cluster) =>
  onServer(
    server,
    'postgres',
    `select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
            rolpassword, rolvaliduntil::text, shobj_description(a.oid, 'pg_authid') as comment,
            array(select c from pg_db_role_setting, unnest(setconfig) c where setrole = a.oid and setdatabase = 0
                     and c not like 'operator_precedence%' order by c collate "C") as settings,
            array(select g.rolname || case when admin_option then '*' else '' end from pg_auth_members m
                    join pg_authid g on g.oid = roleid where m.member = a.oid order by 1) as "memberOf"
       from pg_authid a where rolname !~ '^pg_' and rolname <> 'postgres' order by rolname::text collate "C"`,
  );

const roles = `
  create role "Owner ""of"" all, %" createdb createrole connection limit 7;
  create role reader login password 'secret of the reader' valid until '2031-02-03 04:05:06+00';
  create role "Ünï code" login noinherit bypassrls replication;
  comment on role "Ünï code" is 'it''s "hers"';
  create role boss superuser login; alter role boss set search_path = "$user", "Odd, schema"; alter role boss set work_mem = '7MB';
  set password_encryption = 'md5'; create role elder login password 'an old secret'; reset password_encryption;
  grant "Owner ""of"" all, %" to reader with admin option; grant reader to "Ünï code"; grant pg_monitor to reader;
  create role pgconvoy_replication_x login replication; grant reader to pgconvoy_replication_x;`;

describe.each<{ from: Major; to: Major; more: string }>([
  { from: 15, to: 18, more: '' },
  { from: 10, to: 18, more: 'alter role boss set operator_precedence_warning = on;' },
])('from $from to $to', ({ from, to, more }) => {
  let source: Cluster;
  let target: Cluster;
  let pair: TestPair;
  beforeAll(async () => {
    [source, target] = await Promise.all([
      startCluster({ major: from, name: `roles-${from}`, settings: logging }),
      startCluster({ major: to, name: `roles-${from}-${to}`, settings: logging }),
    ]);
    pair = await TestPair.open({ source, target });
    await onServer(source, 'postgres', roles + more);
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
    await Promise.all([source.stop(), target.stop()]);
  });

  test('all roles with everything about them, and they can be taken back', async () => {
    const { output } = await proveContract(pair, copyRoles, undefined);
    expect(output).toEqual({
      created: ['Owner "of" all, %', 'boss', 'elder', 'reader', 'Ünï code'].toSorted(),
      existing: ['postgres'],
      differing: [],
      memberships: 3,
      unknownSettings: more === '' ? [] : ['operator_precedence_warning'],
    });
    const wanted = (await rolesOn(source)).filter((role) => !String(role['rolname']).startsWith('pgconvoy'));
    expect(await rolesOn(target)).toEqual(wanted);
  });

  test('who knows a password logs in', async () => {
    const reader = { ...target, user: 'reader', password: 'secret of the reader' };
    expect(await onServer(reader, 'postgres', 'select current_user')).toEqual([{ current_user: 'reader' }]);
  });

  test('no hash is in the log of either server', async () => {
    const hashes = (await rolesOn(source)).map((role) => role['rolpassword']).filter((hash) => hash !== null);
    expect(hashes).toHaveLength(2);
    for (const hash of hashes) {
      expect(target.log()).not.toContain(hash);
      expect(source.log()).not.toContain(hash);
    }
    expect(target.log()).toContain('shobj_description');
  });

  test('roles that are there already are left alone, and what differs is named', async () => {
    await copyRoles.undo!(pair.context(undefined));
    await onServer(
      target,
      'postgres',
      `create role reader nologin password 'another'; create role elder login; create role theirs`,
    );
    const { output } = await runOperation(copyRoles, pair.context(undefined));
    expect(output).toMatchObject({
      existing: ['elder', 'postgres', 'reader'],
      differing: [
        { role: 'elder', attributes: ['password'] },
        { role: 'reader', attributes: ['login', 'validUntil', 'password'] },
      ],
    });
    expect(JSON.stringify(output)).not.toMatch(/SCRAM|md5/);
    expect((await rolesOn(target)).find((role) => role['rolname'] === 'reader')).toMatchObject({
      rolcanlogin: false,
      memberOf: ['Owner "of" all, %*', 'pg_monitor'],
    });
    // Only what is ours goes: the roles and the memberships that were added.
    expect(await copyRoles.undo!(pair.context(undefined))).toBe(true);
    const left = await rolesOn(target);
    expect(left.map((role) => role['rolname'])).toEqual(['elder', 'reader', 'theirs']);
    expect(left.flatMap((role) => role['memberOf'])).toEqual([]);
    await onServer(target, 'postgres', 'drop role reader, elder, theirs');
  });

  test('a role of ours that owns something by now stays', async () => {
    await runOperation(copyRoles, pair.context(undefined));
    await onServer(target, 'postgres', 'create table owned (a int); alter table owned owner to elder');
    expect(await copyRoles.undo!(pair.context(undefined))).toBe(true);
    expect((await rolesOn(target)).map((role) => role['rolname'])).toEqual(['elder']);
    await onServer(target, 'postgres', 'drop table owned');
    expect(await copyRoles.undo!(pair.context(undefined))).toBe(true);
  });

  test('killed at any point it converges', async () => {
    await proveKilledAndRunAgain(pair, copyRoles, undefined, [5, 15, 25, 40]);
    const wanted = (await rolesOn(source)).filter((role) => !String(role['rolname']).startsWith('pgconvoy'));
    expect(await rolesOn(target)).toEqual(wanted);
  });
});

test('from 16 on memberships keep their options', async () => {
  await using source = await startCluster({ major: 17, name: 'roles-17' });
  await using target = await startCluster({ major: 18, name: 'roles-17-18' });
  await using pair = await TestPair.open({ source, target });
  await onServer(
    source,
    'postgres',
    `create role a; create role b; create role c noinherit; grant a to b with inherit false, set true, admin true; grant a to c with set false`,
  );
  await runOperation(copyRoles, pair.context(undefined));
  const memberships = `select roleid::regrole, member::regrole, admin_option, inherit_option, set_option
    from pg_auth_members where roleid = 'a'::regrole order by 2`;
  expect(await onServer(target, 'postgres', memberships)).toEqual(await onServer(source, 'postgres', memberships));
});
