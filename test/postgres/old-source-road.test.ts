import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../src/engine/run-operation.ts';
import { applies } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { readHostRules } from '../../src/postgres/host-rules.ts';
import { Sql } from '../../src/postgres/sql.ts';
import { offers } from '../../src/postgres/versions.ts';
import { pairOf } from '../../src/operations/replication/pair.ts';
import { takingBack } from '../../src/replication/engines.ts';
import { readStatus } from '../../src/runtime/status/read-status.ts';
import { check } from '../../workflows/check.ts';
import { compare } from '../../workflows/compare.ts';
import { finish } from '../../workflows/finish.ts';
import { fix } from '../../workflows/fix.ts';
import { rollback } from '../../workflows/rollback.ts';
import { setup } from '../../workflows/setup.ts';
import { start } from '../../workflows/start.ts';
import { stop } from '../../workflows/stop.ts';
import { uninstall } from '../../workflows/uninstall.ts';
import { OLD_MAJORS, unknownWords } from '../helpers/old-catalogs.ts';
import { TestPair } from '../helpers/pair.ts';

const SOURCE = 13;

/** Sent only where the version table says that the source has it; what is sent instead is in other tests. */
const FROM_10_ON = [
  /from pg_hba_file_rules/,
  /generated always as identity/,
  /hashtextextended/,
  /from pg_publication p\b/,
  /from pg_subscription where subname/,
];
/** Made by the server itself, of names that it knows. */
const BY_THE_SERVER = [/^drop trigger queue_truncate_trigger_/];

let pair: TestPair;
let sent = new Set<Sql>();
const at = Sql.prototype.at;

beforeAll(async () => {
  pair = await TestPair.open({ engine: 'pglogical', source: SOURCE });
  // Who runs a statement asks for it in the words of the session's server: the source is the only one of this major.
  let depth = 0;
  Sql.prototype.at = function (this: Sql, major: number) {
    if (depth === 0 && major === SOURCE) sent.add(this);
    depth++;
    try {
      return at.call(this, major);
    } finally {
      depth--;
    }
  };
});
afterAll(async () => {
  Sql.prototype.at = at;
  await pair[Symbol.asyncDispose]();
});

async function walk(workflow: Workflow, database: string, reverse = false): Promise<void> {
  const { back = false } = workflow.options ?? {};
  for (const row of workflow.rows) {
    const options = { noCanary: true, openSource: true, reverse, back };
    if (!('operation' in row) || !applies(row.policy, options)) continue;
    const name = row.operation.scope === 'cluster' ? undefined : database;
    const { direction, reversed = false } = row.policy;
    const context = pair.context(name, { input: row.input, options, reversed: back !== reversed });
    const engine = direction === 'undo' ? takingBack(context.engine) : context.engine;
    const settings = { ...context.settings, cutover: { ...context.settings.cutover, reverse } };
    await runOperation(row.operation, { ...context, engine, settings }, direction ? { direction } : {});
  }
}

const textOf = (statement: Sql) => statement.at(SOURCE).text;

/** What was sent since this was asked last, without what is sent to newer ones alone. */
function sentSince(): Sql[] {
  const texts = [...sent].filter(
    (statement) => ![...FROM_10_ON, ...BY_THE_SERVER].some((form) => form.test(textOf(statement))),
  );
  sent = new Set();
  return texts;
}

const unknownIn = (statements: readonly Sql[], majors: readonly number[]): string[] => {
  const unknown = statements.flatMap((statement) =>
    majors.flatMap((major) => {
      const { text } = statement.at(major);
      const words = unknownWords(text, major);
      return words.length === 0 ? [] : [`${major}: ${words.join(', ')} in ${text}`];
    }),
  );
  return [...new Set(unknown)];
};

/** What the source is asked of native subscriptions when the way back to it is taken back, as if it were of this major. */
async function takenBackFrom(database: string, major: number): Promise<string[]> {
  const context = pair.context(database, { reversed: true });
  const { targetCluster } = context;
  const facts = async () => ({ ...(await targetCluster.facts()), major });
  const old = new Proxy(targetCluster, {
    get: (cluster, key) => (key === 'facts' ? facts : Reflect.get(cluster, key, cluster)),
  });
  const before = new Set(sent);
  await takingBack(context.engine).dropSubscription({ ...pairOf(context), targetCluster: old });
  const asked = [...sent].filter((statement) => !before.has(statement)).map(textOf);
  expect(asked).not.toEqual([]);
  return asked.filter((text) => /pg_subscription\b/.test(text));
}

test('whatever the road on pglogical sends to a source, 9.4, 9.5 and 9.6 document every word of', async () => {
  const database = await pair.database(
    'My "odd" DB',
    `create table "Order Items" (id serial primary key, "select" text);
     create table keyed (a int not null unique, b text);
     create materialized view totals as select count(*) as n from "Order Items";
     create function stamp() returns trigger language plpgsql as 'begin return new; end';
     create trigger always before insert on keyed for each row execute procedure stamp();
     alter table keyed enable always trigger always;
     insert into "Order Items" ("select") values ('a')`,
  );
  for (const workflow of [check, fix, setup, start]) await walk(workflow, database);
  await readStatus(pair.clusters, new AbortController().signal);
  for (const workflow of [stop, uninstall]) await walk(workflow, database);
  await readHostRules(pair.context(undefined).source, false);
  const forth = sentSince();
  expect(forth.length).toBeGreaterThan(100);
  expect(unknownIn(forth, OLD_MAJORS)).toEqual([]);
});

test('as the way back 9.5 and 9.6 document every word too: the source subscribes, and is gone back to', async () => {
  const database = await pair.database(
    'there and back',
    `create table "Order Items" (id serial primary key, "select" text);
     create function stamp() returns trigger language plpgsql as 'begin return new; end';
     create trigger always before insert on "Order Items" for each row execute procedure stamp();
     alter table "Order Items" enable always trigger always;
     insert into "Order Items" ("select") values ('a')`,
  );
  for (const workflow of [check, fix, setup, start]) await walk(workflow, database, true);
  const known = new Set(sentSince().map(textOf));
  await walk(stop, database, true);
  await walk(compare, database, true);
  await readStatus(pair.clusters, new AbortController().signal);
  await pair.query('target', database, `insert into "Order Items" ("select") values ('b')`);
  for (const workflow of [rollback, stop, finish, uninstall]) await walk(workflow, database, true);
  expect(await takenBackFrom(database, 9.6)).toEqual([]);
  expect(await takenBackFrom(database, 10)).not.toEqual([]);
  const back = sentSince().filter((statement) => !known.has(textOf(statement)));
  expect(back.some((statement) => /pg_replication_origin_advance/.test(textOf(statement)))).toBe(true);
  expect(back.length).toBeGreaterThan(50);
  expect(
    unknownIn(
      back,
      OLD_MAJORS.filter((major) => offers(major, 'replicationOrigins')),
    ),
  ).toEqual([]);
});
