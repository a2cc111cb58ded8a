import pg from 'pg';
import { expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { agreeToOpen } from '../../../src/operations/cutover/agreement.ts';
import { awaitLsn } from '../../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { finishOpening } from '../../../src/operations/cutover/finish-opening.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

test('who is stopped between the decision and the opening leaves no database on neither side', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'My "odd" DB', 'create table t (id int primary key)');
  const role = pair.name('app');
  for (const side of ['source', 'target'] as const)
    await pair.query(side, 'postgres', `create role ${pg.escapeIdentifier(role)} login password 'secret'`);
  await pair.query('target', 'postgres', `alter database ${pg.escapeIdentifier(database)} connection limit 0`);
  const gets = async (side: 'source' | 'target') => {
    const client = new pg.Client({ ...pair.clusters[side].address, database, user: role, password: 'secret' });
    try {
      await client.connect();
      return 'in';
    } catch {
      return 'refused';
    } finally {
      await client.end();
    }
  };
  await walkTo(pair, database, 'await-catch-up');
  await runOperation(fenceSource, pair.context(database));
  await runOperation(awaitLsn, pair.context(database));
  expect(await runOperation(finishOpening, pair.context(database))).toMatchObject({
    changed: false,
    output: { opened: false },
  });

  await agreeToOpen(pair.context(database), [database]);
  expect([await gets('source'), await gets('target')]).toEqual(['refused', 'refused']);
  expect(await runOperation(finishOpening, pair.context(database))).toMatchObject({
    changed: true,
    output: { opened: true },
  });
  expect(await fenceSource.undo!(pair.context(database))).toBe(false);
  expect([await gets('source'), await gets('target')]).toEqual(['refused', 'in']);
  expect((await runOperation(finishOpening, pair.context(database))).changed).toBe(false);
});
