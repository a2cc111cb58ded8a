import { expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { AnyOperation } from '../../../src/engine/operation.ts';
import * as op from '../../../src/operations/index.ts';
import type { EngineName } from '../../../src/replication/engine.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import type { ContextOptions } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

const WAY_BACK = { reversed: true, input: { wayBack: true } } as const;

test.for<EngineName>(['native', 'pglogical'])('databases that open together (%s)', async (engine) => {
  await using pair = await TestPair.open({ engine, settings: { cutover: { reverse: true } } });
  const databases: string[] = [];
  for (const base of ['My "odd" DB', 'other, 100%'])
    databases.push(await schemaOnBothSides(pair, base, 'create table t (id int primary key)'));
  const together: ContextOptions = { databases, options: { together: true } };
  const each = async (operation: AnyOperation, options: ContextOptions = {}) => {
    for (const database of databases)
      await runOperation(operation, pair.context(database, { ...together, ...options }));
  };
  for (const database of databases) await walkTo(pair, database, 'await-catch-up');
  await runOperation(op.createReplicationRole, pair.context(undefined, { reversed: true }));
  await each(op.grantReplicationRole, { reversed: true });
  await each(op.createPublication, { reversed: true });
  await each(op.createSlot, WAY_BACK);
  await each(op.createSubscription, WAY_BACK);

  const positions = async (database: string) =>
    (await pair.context(database).targetLedger.entries('way-back', database)).map(({ before }) => ({
      lsn: (before as { readonly lsn: string }).lsn,
    }));
  const back: ContextOptions = { ...together, reversed: true };
  await expect(runOperation(op.switchReverseTogether, pair.context(undefined, back))).rejects.toThrow(
    /the fence does not stand, so rows may still come from there/,
  );
  for (const database of databases) await pair.query('source', database, 'insert into t values (1)');
  await each(op.fenceSource);
  await each(op.awaitLsn);
  expect((await proveContract(pair, op.switchReverseTogether, undefined, back)).output).toEqual({ databases: 2 });

  // Behind another fence it is another position, and one for all of them.
  for (const database of databases) {
    await op.fenceSource.undo!(pair.context(database, together));
    await pair.query('source', database, 'insert into t values (2)');
  }
  await each(op.fenceSource);
  await each(op.awaitLsn);
  expect(await op.switchReverseTogether.check(pair.context(undefined, back))).toEqual({
    holds: false,
    missing: databases,
  });
  await proveKilledAndRunAgain(pair, op.switchReverseTogether, undefined, [2, 5, 9, 14], back);
  const [position] = await positions(databases[0]!);
  for (const database of databases) {
    expect(await positions(database)).toEqual([position]);
    // What one step says of one, the other says of all.
    expect(await op.switchReverse.check(pair.context(database, back))).toEqual({ holds: true, output: position });
  }
});
