import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../../src/operations/replication/create-subscription.ts';
import { createReplicationRole } from '../../../src/operations/roles/create-replication-role.ts';
import { proveContract } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

const SCHEMA = `
  create table "Order Items" (id int primary key, "select" text, at timestamptz default now());
  create table keyed (number int not null, note text);
  create unique index keyed_number on keyed (number);
  alter table keyed replica identity using index keyed_number;
  create schema "Sub 狐";
  create table "Sub 狐"."100%, ""really""" (id int primary key);
`;
const ROWS = `
  insert into "Order Items" select n, 'row ' || n from generate_series(1, 500) n;
  insert into keyed select n, 'n' from generate_series(1, 100) n;
  insert into "Sub 狐"."100%, ""really""" select generate_series(1, 10)`;

describe('pglogical', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ engine: 'pglogical' });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  it('the role is made on both sides, and goes from both', async () => {
    await proveContract(pair, createReplicationRole, undefined);
    const role = pair.clusters.settings.replication.role;
    for (const side of ['source', 'target'] as const) {
      const [found] = await pair.query(side, 'postgres', `select rolsuper from pg_roles where rolname = '${role}'`);
      expect(found).toEqual({ rolsuper: side === 'target' });
    }
  });

  it('each step of the road keeps its contract', async () => {
    const database = await schemaOnBothSides(pair, 'My "odd" DB', SCHEMA, ROWS);
    await walkTo(pair, database, 'grant-replication-role');
    await proveContract(pair, createPublication, database);
    await proveContract(pair, createSlot, database);
    await proveContract(pair, createSubscription, database);
    await proveContract(pair, copyTables, database);
    await pair.query(
      'source',
      database,
      `update keyed set note = 'changed' where number = 7; delete from "Order Items" where id = 1`,
    );
    await eventually(async () => {
      const [row] = await pair.query(
        'target',
        database,
        `select (select note from keyed where number = 7) as note, (select count(*)::int from "Order Items") as count`,
      );
      expect(row).toEqual({ note: 'changed', count: 499 });
    });
  });
});
