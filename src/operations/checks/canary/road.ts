import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../../errors.ts';
import type { Side } from '../../../postgres/cluster.ts';
import type { Database } from '../../../postgres/database.ts';
import { fragment, id, sql } from '../../../postgres/sql.ts';
import { offers } from '../../../postgres/versions.ts';
import { tablesWithout } from '../../../replication/table-names.ts';
import { markWal } from '../../cutover/fence.ts';
import { copyTrouble } from '../../replication/copy-trouble.ts';
import { pairOf } from '../../replication/pair.ts';
import { swapped } from '../../replication/way-back.ts';
import { grantReplicationRole } from '../../roles/grant-replication-role.ts';
import { inWords } from '../other-direction.ts';
import { createScratch, SCHEMA } from './scratch-databases.ts';
import type { Canary } from './scratch-databases.ts';

/** How long each step may take, milliseconds. */
const STEP_MS = 30_000;
const LOOK_FIRST_MS = 10;
const LOOK_MOST_MS = 250;
/** Without success for so long, the cause is looked for; one that is seen so often in a row does not pass by itself. */
const QUIET_MS = 2_500;
const LOOKS = 3;
const LOCK_MS = 5_000;

export interface RoadStep {
  /** What is being done, as it is said where it fails. */
  readonly title: string;
  readonly side: Side;
  /** In the other direction: it is handed the canary with its sides changed. */
  readonly back?: true;
  run(canary: Canary): Promise<void>;
}

/** One way of the scratch databases from nothing to the same rows on both sides, by the methods that real databases go by. */
export const ROAD: readonly RoadStep[] = [
  { title: 'making the scratch databases', side: 'target', run: prepare },
  { title: 'publishing their tables', side: 'source', run: publish },
  {
    title: 'creating the replication slot',
    side: 'source',
    run: (canary) => canary.engine.createSlot(pairOf(canary), STEP_MS),
  },
  { title: 'subscribing the target to the source', side: 'target', run: subscribe },
  { title: 'copying rows', side: 'target', run: copy },
  { title: 'replicating INSERT, UPDATE, DELETE and TRUNCATE', side: 'target', run: change },
];

/**
 * The way back of the same databases: once the way forth has ended, what a cutover prepares and then starts (`switch-reverse`,
 * `start-reverse`). Nothing is copied.
 */
export const WAY_BACK: readonly RoadStep[] = [
  { title: 'publishing their tables on the target', side: 'target', back: true, run: publishBack },
  {
    title: 'creating the replication slot on the target',
    side: 'target',
    back: true,
    run: (canary) => canary.engine.createSlot(pairOf(canary), STEP_MS),
  },
  { title: 'subscribing the source to the target', side: 'source', back: true, run: subscribeBack },
  { title: 'replicating INSERT, UPDATE and DELETE back', side: 'source', back: true, run: changeBack },
];

/** What is tried, each with a name that has to be quoted. */
const ITEMS = { schema: SCHEMA, name: 'Order "Items"' };
const EMPTIED = { schema: SCHEMA, name: 'emptied, 100%' };
const TABLES = [ITEMS, EMPTIED];

const items = id(ITEMS.schema, ITEMS.name);
const emptied = id(EMPTIED.schema, EMPTIED.name);

async function prepare(canary: Canary): Promise<void> {
  const { source, target, engine, sourceCluster, targetCluster } = canary;
  await createScratch(canary);
  const majors = await Promise.all([sourceCluster.facts(), targetCluster.facts()]);
  const oldest = Math.min(...majors.map(({ major }) => major));
  const key = offers(oldest, 'identityColumns') ? fragment`bigint generated always as identity` : fragment`bigserial`;
  const generated =
    offers(oldest, 'generatedColumns') && engine.name === 'native'
      ? fragment`, doubled numeric generated always as (amount * 2) stored`
      : fragment``;
  await Promise.all(
    [source, target].map((end) =>
      end.transaction(async () => {
        await end.run(sql`drop schema if exists ${id(SCHEMA)} cascade`);
        await end.run(sql`create schema ${id(SCHEMA)}`);
        await end.run(
          sql`create table ${items} ("select" ${key} primary key, name text, amount numeric not null${generated})`,
        );
        await end.run(sql`create table ${emptied} (id int primary key)`);
      }),
    ),
  );
  await source.run(
    sql`insert into ${items} (name, amount) values ('it''s a \\ "row"', 1.50), (null, 2), ('Füchse 狐', 3)`,
  );
  await source.run(sql`insert into ${emptied} values (1), (2)`);
  const verdict = await grantReplicationRole.check(canary);
  if (!verdict.holds) await grantReplicationRole.apply?.(canary, verdict.missing);
}

async function publishBack(canary: Canary): Promise<void> {
  const { engine } = canary;
  const forth = pairOf(swapped(canary));
  await engine.dropSubscription(forth);
  await engine.dropSlot(forth);
  const verdict = await grantReplicationRole.check(canary);
  if (!verdict.holds) await grantReplicationRole.apply?.(canary, verdict.missing);
  await publish(canary);
}

async function subscribeBack(canary: Canary): Promise<void> {
  const { engine } = canary;
  const pair = pairOf(canary);
  await engine.createSubscription(pair, { copy: false });
  await engine.beginAt(pair.targetCluster, new Map([[pair.target.name, await markWal(canary)]]));
  await engine.confirmAtOnce(pair);
  await engine.enable(pair);
}

async function changeBack(canary: Canary): Promise<void> {
  const { source, engine, sourceCluster, targetCluster } = canary;
  // Behind the keys that have come over, as a cutover sets it.
  await source.run(sql`select setval(pg_get_serial_sequence(${items.text}, 'select'), 1000)`);
  await source.run(sql`insert into ${items} (name, amount) values ('back', 6), ('gone', 7)`);
  await source.run(sql`update ${items} set name = 'back again', amount = amount + 0.25 where name = 'back'`);
  await source.run(sql`delete from ${items} where name = 'gone'`);
  const majors = await Promise.all([sourceCluster.facts(), targetCluster.facts()]);
  if (engine.name !== 'native' || majors.every(({ major }) => offers(major, 'publishTruncate'))) {
    await source.run(sql`truncate ${emptied}`);
  }
  await source.run(sql`insert into ${emptied} values (4)`);
  const lsn = await markWal(canary);
  await until(canary, () => engine.reached(pairOf(canary), lsn));
  await compare(canary, 'after the changes of the way back');
}

async function publish(canary: Canary): Promise<void> {
  await canary.engine.publish(pairOf(canary), TABLES, LOCK_MS);
}

async function subscribe(canary: Canary): Promise<void> {
  const { engine } = canary;
  const pair = pairOf(canary);
  await engine.createSubscription(pair, { copy: true });
  await engine.confirmAtOnce(pair);
  await engine.enable(pair);
}

async function copy(canary: Canary): Promise<void> {
  const pair = pairOf(canary);
  await until(canary, async () => {
    // An idle source would let a copy wait: as in real life, it is written to.
    await markWal(canary);
    const { tables } = await canary.engine.subscription(pair);
    return (
      tablesWithout(
        TABLES,
        tables.filter(({ state }) => state === 'streaming'),
      ).length === 0
    );
  });
  await compare(canary, 'after the copy');
}

async function change(canary: Canary): Promise<void> {
  const { source, engine } = canary;
  await source.run(sql`insert into ${items} (name, amount) values ('later', 4), ('gone', 5)`);
  await source.run(sql`update ${items} set name = 'changed', amount = amount + 0.25 where amount = 2`);
  await source.run(sql`delete from ${items} where name = 'gone'`);
  if (offers((await canary.sourceCluster.facts()).major, 'publishTruncate') || engine.name !== 'native') {
    await source.run(sql`truncate ${emptied}`);
  }
  await source.run(sql`insert into ${emptied} values (3)`);
  const lsn = await markWal(canary);
  await until(canary, () => engine.reached(pairOf(canary), lsn));
  await compare(canary, 'after the changes');
}

/** Waits with a deadline; a cause that waiting does not mend ends it sooner. */
async function until(canary: Canary, arrived: () => Promise<boolean>): Promise<void> {
  const { signal, engine } = canary;
  const started = Date.now();
  let looks = { at: started, inVain: 0 };
  let pause = LOOK_FIRST_MS;
  while (!(await arrived())) {
    signal.throwIfAborted();
    if (Date.now() - looks.at > QUIET_MS) {
      const pair = pairOf(canary);
      const subscription = await engine.subscription(pair);
      if (!subscription.running) await engine.wake?.(pair);
      const trouble = await copyTrouble(canary, subscription);
      looks = { at: Date.now(), inVain: trouble ? looks.inVain + 1 : 0 };
      if (trouble && (trouble.lasting || looks.inVain >= LOOKS)) {
        throw new PgconvoyError(words(canary, trouble.message), { hint: words(canary, trouble.hint) });
      }
    }
    if (Date.now() - started > STEP_MS) {
      throw new DeadlineExceeded(`nothing came within ${STEP_MS} ms`, {
        hint: `The reason is in the log of the ${canary.target.side} server: look there for \`logical replication\`.`,
      });
    }
    await sleep(pause, undefined, { signal });
    pause = Math.min(LOOK_MOST_MS, pause * 1.3);
  }
}

/** What speaks of source and target as the way forth has them. */
const words = ({ source }: Canary, text: string): string => (source.side === 'source' ? text : inWords(text));

const Rows = z.object({ rows: z.array(z.string()) });

async function compare(canary: Canary, when: string): Promise<void> {
  for (const table of [items, emptied]) {
    const read = async (end: Database) =>
      (await end.one(Rows, sql`select array(select t::text from ${table} t order by 1) as rows`)).rows;
    const [wanted, found] = await Promise.all([read(canary.source), read(canary.target)]);
    if (JSON.stringify(wanted) === JSON.stringify(found)) continue;
    throw new PgconvoyError(
      `${when} the rows of ${table.text} differ: ${wanted.join(' ')} on the ${canary.source.side}, ${found.join(' ')} on the ${canary.target.side}`,
      { hint: 'This engine must not carry real databases. Please report it, with the exact versions of both servers.' },
    );
  }
}
