import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { tablesOption } from '../../../src/engine/chosen-tables.ts';
import { compareLive } from '../../../src/operations/comparison/compare-live.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

const SCHEMA = `
  create table "Order Items" ("select" int, part text, note text, primary key ("select", part));
  create table queue (id serial primary key, note text);
  create table log (at timestamptz, note text);
  create table quiet (id int primary key);
  alter table log replica identity full;`;
const ROWS = `
  insert into "Order Items" select n, 'ü', repeat('x', 50) from generate_series(1, 5000) n;
  insert into queue (note) select 'n' || n from generate_series(1, 5000) n;
  insert into log select now(), 'n' || (n % 100) from generate_series(1, 3000) n;
  insert into quiet select generate_series(1, 10);`;

/** Writes as fast as it can until it is stopped. Every row of the upper half of a table, but none of the lower. */
function busyWriter(pair: TestPair, database: string, keyless: boolean) {
  const { host, port, user, password } = pair.source;
  const client = new pg.Client({ host, port, user, password, database });
  const stopping = new AbortController();
  let writes = 0;
  const ended = (async () => {
    await client.connect();
    for (; !stopping.signal.aborted; writes++) {
      const n = 2_501 + Math.floor(Math.random() * 2_500);
      await client.query(`insert into queue (note) values ('new'), ('new')`);
      await client.query(`update "Order Items" set note = 'changed ' || random() where "select" = ${n}`);
      await client.query(`delete from queue where id = (select min(id) from queue where id > 2500)`);
      if (keyless) await client.query(`insert into log values (now(), 'new'), (now(), 'new')`);
    }
    await client.end();
  })();
  return {
    writes: () => writes,
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}

const messages = ({ findings }: Awaited<ReturnType<typeof runOperation>>) =>
  findings
    .filter(({ code }) => code === 'rows-differ')
    .map(({ message }) => message.replaceAll(/\(ctid .*\)/g, '(ctid)'));

describe.each(['native', 'pglogical'] as const)('%s', (engine) => {
  let pair: TestPair;
  let database: string;
  const native = engine === 'native';
  beforeAll(async () => {
    pair = await TestPair.open({ engine });
    const schema = native ? SCHEMA : SCHEMA.replaceAll(/.*\blog\b.*\n?/g, '');
    const rows = native ? ROWS : ROWS.replaceAll(/.*insert into log.*\n/g, '');
    database = await schemaOnBothSides(pair, 'My "odd" DB', schema, rows);
    await walkTo(pair, database, 'copy-tables');
  });
  afterAll(() => pair[Symbol.asyncDispose]());
  const compare = (options: Record<string, boolean> = {}) =>
    runOperation(compareLive, pair.context(database, { options }));

  test('busy writers are no false alarm', async () => {
    const writer = busyWriter(pair, database, native);
    const results = [await compare()];
    // However fast it is: many writes come in between.
    do results.push(await compare());
    while (writer.writes() <= 50);
    await writer.stop();
    for (const result of results) {
      expect(messages(result)).toEqual([]);
      expect(result.output).toMatchObject({ method: 'checksum', tables: native ? 4 : 3, differing: 0 });
    }
  });

  test('a row that was changed, one that is gone and one too many are found by their keys among the writers', async () => {
    await pair.query(
      'target',
      database,
      `update "Order Items" set note = 'y' where "select" = 7;
       delete from "Order Items" where "select" = 8;
       insert into "Order Items" values (0, 'too many', null);
       ${native ? `delete from log where ctid = (select min(ctid) from log where note = 'n3')` : ''}`,
    );
    const writer = busyWriter(pair, database, native);
    const result = await compare();
    await writer.stop();
    expect(messages(result).toSorted()).toEqual([
      `table "public"."Order Items" is not the same on both sides: 1 row with other contents (("select", "part") = (7, 'ü')); 1 row only on the source (("select", "part") = (8, 'ü')); 1 row only on the target (("select", "part") = (0, 'too many'))`,
      ...(native ? ['table "public"."log" is not the same on both sides: 1 row only on the source (ctid)'] : []),
    ]);
    expect(result.output).toMatchObject({ differing: native ? 2 : 1 });

    const chosen = await compare({ [tablesOption('public.q*')]: true });
    expect([chosen.findings, chosen.output]).toMatchObject([[], { tables: 2 }]);
  });
});

test('without a subscription there is nothing to compare', async () => {
  await using pair = await TestPair.open();
  const database = await pair.database('still', 'create table t (id int)', ['source', 'target']);
  await expect(runOperation(compareLive, pair.context(database))).rejects.toMatchObject({
    message: expect.stringContaining('no subscription'),
    hint: expect.stringContaining('pgconvoy start'),
  });
});
