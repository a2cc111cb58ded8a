import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../src/engine/run-operation.ts';
import { applies } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { readHostRules } from '../../src/postgres/host-rules.ts';
import { Sql } from '../../src/postgres/sql.ts';
import { check } from '../../workflows/check.ts';
import { fix } from '../../workflows/fix.ts';
import { setup } from '../../workflows/setup.ts';
import { start } from '../../workflows/start.ts';
import { stop } from '../../workflows/stop.ts';
import { uninstall } from '../../workflows/uninstall.ts';
import { OLD_MAJORS, unknownWords } from '../helpers/old-catalogs.ts';
import { TestPair } from '../helpers/pair.ts';

const SOURCE = 13;

/** Sent only where the version table says that the source has it; what is sent instead is in other tests. */
const FROM_10_ON = [/from pg_hba_file_rules/, /generated always as identity/, /hashtextextended/];
/** Made by the server itself, of names that it knows. */
const BY_THE_SERVER = [/^drop trigger queue_truncate_trigger_/];

let pair: TestPair;
const sent = new Set<Sql>();
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

async function walk(workflow: Workflow, database: string): Promise<void> {
  for (const row of workflow.rows) {
    const options = { noCanary: true, openSource: true };
    if (!('operation' in row) || !applies(row.policy, options)) continue;
    const name = row.operation.scope === 'cluster' ? undefined : database;
    const { direction } = row.policy;
    await runOperation(
      row.operation,
      pair.context(name, { input: row.input, options }),
      direction ? { direction } : {},
    );
  }
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
  for (const workflow of [check, fix, setup, start, stop, uninstall]) await walk(workflow, database);
  await readHostRules(pair.context(undefined).source, false);
  Sql.prototype.at = at;

  const texts = [...sent].filter(
    (statement) => ![...FROM_10_ON, ...BY_THE_SERVER].some((form) => form.test(statement.at(SOURCE).text)),
  );
  expect(texts.length).toBeGreaterThan(100);
  const unknown = texts.flatMap((statement) =>
    OLD_MAJORS.flatMap((major) => {
      const { text } = statement.at(major);
      const words = unknownWords(text, major);
      return words.length === 0 ? [] : [`${major}: ${words.join(', ')} in ${text}`];
    }),
  );
  expect([...new Set(unknown)]).toEqual([]);
});
