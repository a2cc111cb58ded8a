import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import {
  fingerprint,
  FingerprintRow,
  fingerprintRows,
  Kinds,
  kindsRow,
} from '../../src/postgres/catalog/fingerprint.ts';
import { ClusterIdentity, clusterIdentity } from '../../src/postgres/catalog/server.ts';
import { LedgerEntry, notes, recordNote, replaceNote } from '../../src/postgres/catalog/ledger-notes.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import { sql, Sql } from '../../src/postgres/sql.ts';
import { TestPair } from '../helpers/pair.ts';
import type { Major } from '../helpers/servers.ts';
import { EVERY_KIND, sourceQueries } from '../helpers/source-queries.ts';

const SAMPLE = `
  create schema pgconvoy;
  create table sample (id serial primary key, "Odd ""c""" text default 'a', price float8, at timestamptz default now());
  insert into sample default values;
  create table keyless (a json, b int not null unique);
  create unlogged table "Scratch, %" (a int);
  create view seen as select * from sample;
  create materialized view kept as select count(*) from seen;
  create function stamp() returns trigger language plpgsql as 'begin return new; end';
  create trigger always before insert on sample for each row execute procedure stamp();
  alter table sample enable always trigger always;
  create type mood as enum ('good');
  create extension hstore;`;

/** One of each kind that a fingerprint is asked about only where there is one. */
const RARE: readonly (readonly [kind: keyof Kinds, ddl: string])[] = [
  [
    'triggers',
    `create function public.stamp() returns trigger language plpgsql as 'begin return new; end';
     create trigger stamped before insert on public.t for each row execute procedure public.stamp()`,
  ],
  ['rules', 'create rule quiet as on insert to public.t do instead nothing'],
  ['policies', 'create policy seen on public.t using (true)'],
  ['statistics', 'create statistics public.both on a, b from public.t'],
  ['functions', `create function public.one() returns int language sql as 'select 1'`],
  ['types', 'create domain public.positive as int check (value > 0)'],
  ['types', `create type public.mood as enum ('good')`],
  ['types', 'create type public.pair as (a int)'],
  ['others', 'create operator public.=== (leftarg = int, rightarg = int, procedure = int4eq)'],
  ['others', 'create operator class public.mine for type int using hash as operator 1 =, function 1 hashint4(int)'],
  ['others', 'create collation public.plain from "C"'],
  ['others', 'create cast (json as point) with inout'],
  ['others', 'create text search configuration public.words (copy = simple)'],
  ['others', 'create text search dictionary public.words (template = simple)'],
  ['others', 'create foreign data wrapper far'],
];

describe.each<Major>([10, 13, 15, 17, 18])('every query that is sent to a source, on %d', (major) => {
  let pair: TestPair;
  let database: string;
  beforeAll(async () => {
    pair = await TestPair.open({ source: major, target: major === 18 ? 15 : 18 });
    database = await pair.database('My "odd" DB', SAMPLE);
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
  });

  test('each is understood, and answers rows as they are expected', async () => {
    const { source, sourceCluster } = pair.context(database);
    expect((await sourceCluster.facts()).major).toBe(major);
    const failed: string[] = [];
    for (const { name, query, row, from = 0, to = 99, except } of sourceQueries(database)) {
      if (major < from || to < major || major === except) continue;
      await source.many(row, query).catch((error: Error) => failed.push(`${name}: ${error.message}`));
    }
    expect(failed).toEqual([]);
  });

  test('a fingerprint lacks nothing of a kind that the database has, and what it has not is not asked for', async () => {
    const { source } = pair.context(await pair.database('few kinds', 'create table t (a int, b int)'));
    const all = async (): Promise<number> => {
      const rows = await source.many(FingerprintRow, fingerprintRows(EVERY_KIND));
      return rows.flatMap(({ parts }) => Object.keys(parts)).length;
    };
    const kinds = async (): Promise<string[]> =>
      Object.entries(await source.one(Kinds, kindsRow())).flatMap(([kind, found]) => (found ? [kind] : []));
    const before = await all();
    expect(await kinds()).toEqual([]);
    expect((await fingerprint(source)).size).toBe(before);
    for (const [kind, ddl] of RARE) {
      const undone = new Error('undone');
      const inside = source.transaction(async () => {
        await source.script(ddl);
        const every = await all();
        expect(every).toBeGreaterThan(before);
        expect({ ddl, asked: await kinds(), parts: (await fingerprint(source)).size }).toEqual({
          ddl,
          asked: kind === 'triggers' ? ['triggers', 'functions'] : [kind],
          parts: every,
        });
        throw undone;
      });
      await expect(inside).rejects.toBe(undone);
    }
  });
});

describe('what is sent to sources before 10, as far as newer ones take it', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open();
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
  });

  const asOf = (major: number, query: Sql) => new Sql(() => query.at(major));

  test('the number of the cluster, from its file', async () => {
    const { source } = pair.context(undefined);
    const told = await source.one(ClusterIdentity, clusterIdentity());
    expect(await source.one(ClusterIdentity, asOf(9.4, clusterIdentity()))).toEqual(told);
    expect(told.systemIdentifier).toMatch(/^\d{19}$/);
  });

  test('notes in the ledger without ON CONFLICT: the first record stays, a replacement takes its place', async () => {
    const { source, sourceLedger } = pair.context(undefined);
    await sourceLedger.prepare();
    const key = { kind: 'old', database: 'd' };
    const before = async () => (await source.many(LedgerEntry, notes('old'))).map((entry) => entry.before);
    for (const value of [1, 2]) await source.run(asOf(9.4, recordNote(key, { value })));
    expect(await before()).toEqual([{ value: 1 }]);
    for (const value of [3, 4]) await source.run(asOf(9.4, replaceNote(key, { value })));
    await source.run(asOf(9.4, replaceNote({ ...key, object: 'another' }, { value: 5 })));
    expect(await before()).toEqual([{ value: 4 }, { value: 5 }]);
  });

  test('a server that does not know a setting of ours is asked again without it', async () => {
    // In the middle sits somebody who makes the name of the setting one that the server has never heard of.
    const renamed = (data: Buffer, from: string, to: string) =>
      Buffer.from(data.toString('latin1').replaceAll(from, to), 'latin1');
    const asked: string[] = [];
    const middle = createServer((client) => {
      const server = connect(pair.source.port, pair.source.host);
      client.on('data', (data) => {
        const text = data.toString('latin1');
        if (text.includes('application_name')) asked.push(text.includes('row_security') ? 'with' : 'without');
        server.write(renamed(data, 'row_security', 'row_securitx'));
      });
      server.on('data', (data) => client.write(renamed(data, 'row_securitx', 'row_security')));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on('error', () => {});
        one.on('close', () => other.destroy());
      }
    });
    await new Promise<void>((resolve) => {
      middle.listen(0, '127.0.0.1', resolve);
    });
    const { port } = middle.address() as AddressInfo;
    const cluster = new Cluster('source', { ...pair.clusters.source.address, port }, 'postgres');
    const bound = cluster.bind({ applicationName: 'pgconvoy/test', signal: new AbortController().signal });
    const Version = z.object({ version: z.string() });
    const version = sql`select current_setting('server_version') as version`;
    try {
      expect(await bound.maintenance.one(Version, version)).toEqual({ version: expect.stringMatching(/^15\./) });
      await bound.database('template1').one(Version, version);
      // Known from then on.
      expect(asked).toEqual(['with', 'without', 'without']);
    } finally {
      await bound.close();
      await cluster.close();
      middle.close();
    }
  });
});
