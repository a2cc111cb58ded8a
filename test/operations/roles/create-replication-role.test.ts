import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { replicationConninfo } from '../../../src/operations/replication/conninfo.ts';
import { replicationSecret } from '../../../src/operations/replication/secret.ts';
import { createReplicationRole } from '../../../src/operations/roles/create-replication-role.ts';
import { grantReplicationRole } from '../../../src/operations/roles/grant-replication-role.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import type { Cluster } from '../../helpers/servers.ts';

let source: Cluster;
let target: Cluster;
let pair: TestPair;
beforeAll(async () => {
  // Of its own, with everything in the log: what must not be in there is looked for below.
  const settings = { log_statement: 'all', log_min_duration_statement: 0 };
  [source, target] = await Promise.all([
    startCluster({ major: 13, name: 'logging-source', settings }),
    startCluster({ major: 18, name: 'logging-target', settings }),
  ]);
  pair = await TestPair.open({ source, target });
});
afterAll(async () => {
  await pair[Symbol.asyncDispose]();
  await source.stop();
  await target.stop();
});

const role = () => pair.clusters.settings.replication.role;

/** The conninfo as the target's libpq reads it, tried through dblink. */
async function connectsFromTarget(database: string): Promise<Record<string, unknown>[]> {
  const conninfo = await replicationConninfo(pair.context(undefined), database);
  await pair.query('target', 'postgres', 'create extension if not exists dblink');
  return pair.query(
    'target',
    'postgres',
    `select * from dblink(${pg.escapeLiteral(conninfo)}, 'select current_database(), current_user') as t(database text, role text)`,
  );
}

test('the role is made, and again changes nothing, and can be taken back', async () => {
  const { output } = await proveContract(pair, createReplicationRole, undefined);
  expect(output).toEqual({ role: role() });
  const rows = await pair.query(
    'source',
    'postgres',
    `select rolcanlogin, rolreplication, rolbypassrls, rolsuper from pg_roles where rolname = '${role()}'`,
  );
  expect(rows).toEqual([{ rolcanlogin: true, rolreplication: true, rolbypassrls: true, rolsuper: false }]);
});

test('the target reaches a database of an odd name by the conninfo', async () => {
  const name = await pair.database(`it's \\ "odd" = ü`);
  const [row] = await connectsFromTarget(name);
  expect(row).toEqual({ database: name, role: role() });
});

test('the password is in no log of either server', async () => {
  const password = (await replicationSecret(pair.context(undefined)))!;
  expect(password.length).toBeGreaterThan(20);
  const [verifier] = await pair.query(
    'source',
    'postgres',
    `select rolpassword from pg_authid where rolname = '${role()}'`,
  );
  await pair.query('target', 'postgres', `select 'the log is written'`);
  // dblink above is the test's own; everything before is ours.
  const ours = target.log().split('dblink')[0]!;
  expect(target.log()).toContain('the log is written');
  expect(ours).toContain('pgconvoy');
  expect(ours).not.toContain(password);
  expect(source.log()).not.toContain(password);
  expect(source.log()).not.toContain(verifier!['rolpassword']);
});

test('a password that somebody changed is set again', async () => {
  await pair.query('source', 'postgres', `alter role ${role()} password 'theirs' nologin`);
  expect(await createReplicationRole.check(pair.context(undefined))).toEqual({
    holds: false,
    missing: ['attributes', 'password'],
  });
  expect((await runOperation(createReplicationRole, pair.context(undefined))).changed).toBe(true);
  expect(await connectsFromTarget('postgres')).toHaveLength(1);
});

test('killed at any point it converges', async () => {
  await createReplicationRole.undo!(pair.context(undefined));
  await proveKilledAndRunAgain(pair, createReplicationRole, undefined, [0, 3, 6, 10, 15, 25]);
  expect(await connectsFromTarget('postgres')).toHaveLength(1);
});

test('before 14 each table is granted, and taken back', async () => {
  const name = await pair.database(
    'Granted "tables"',
    `create schema "Odd, schema"; create table "Odd, schema"."Order Items" ("select" int primary key);
     alter table "Odd, schema"."Order Items" enable row level security;
     insert into "Odd, schema"."Order Items" values (1);
     create table leaf_of (a int) partition by list (a); create table leaf partition of leaf_of default;
     do $$ begin execute format('revoke connect on database %I from public', current_database()); end $$`,
  );
  await proveContract(pair, grantReplicationRole, name);
  const conninfo = await replicationConninfo(pair.context(undefined), name);
  const rows = await pair.query(
    'target',
    'postgres',
    `select * from dblink(${pg.escapeLiteral(conninfo)}, 'select * from "Odd, schema"."Order Items"') as t(a int)`,
  );
  expect(rows).toEqual([{ a: 1 }]);
  // The role can go although its privileges are still there.
  expect(await createReplicationRole.undo!(pair.context(undefined))).toBe(true);
  expect(await pair.query('source', name, `select from pg_roles where rolname = '${role()}'`)).toEqual([]);
});

test('from 14 on the role reads every table as soon as it may connect', async () => {
  await using newer = await TestPair.open({ source: 15, target: 18 });
  await runOperation(createReplicationRole, newer.context(undefined));
  const name = await newer.database('Readable', 'create schema s; create table s.t (a int)');
  expect((await grantReplicationRole.check(newer.context(name))).holds).toBe(true);
  await newer.query('source', 'postgres', `revoke connect on database "${name}" from public`);
  await proveContract(newer, grantReplicationRole, name);
});
