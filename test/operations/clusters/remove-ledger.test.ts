import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { removeLedger } from '../../../src/operations/clusters/remove-ledger.ts';
import { TestPair } from '../../helpers/pair.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

const schemas = async () =>
  Promise.all(
    (['source', 'target'] as const).map(
      async (side) =>
        (
          await pair.query(
            side,
            pair.clusters.source.maintenanceDatabase,
            `select from pg_namespace where nspname = 'pgconvoy'`,
          )
        ).length,
    ),
  );

test('without ledgers there is nothing to do', async () => {
  expect(await runOperation(removeLedger, pair.context(undefined))).toMatchObject({
    changed: false,
    output: { kept: [] },
  });
});

test("ledgers that only say what is the operator's now are removed on both sides", async () => {
  const context = pair.context(undefined);
  await context.sourceLedger.prepare();
  await context.targetLedger.record({ kind: 'opened', database: 'shop' }, {});
  await context.targetLedger.record({ kind: 'database', database: 'other' }, {});
  expect(await runOperation(removeLedger, context)).toMatchObject({ changed: true, output: { kept: [] } });
  expect(await schemas()).toEqual([0, 0]);
  expect((await runOperation(removeLedger, pair.context(undefined))).changed).toBe(false);
});

test('a fence that is kept keeps its note, and the note that the target is open', async () => {
  const context = pair.context(undefined);
  await context.sourceLedger.record({ kind: 'fence', database: 'My "odd" DB' }, { acl: null });
  await context.targetLedger.record({ kind: 'opened', database: 'My "odd" DB' }, {});
  const result = await runOperation(removeLedger, context);
  expect(result).toMatchObject({
    changed: false,
    output: {
      kept: [
        { side: 'source', kind: 'fence', database: 'My "odd" DB', object: '' },
        { side: 'target', kind: 'opened', database: 'My "odd" DB', object: '' },
      ],
    },
  });
  expect(await schemas()).toEqual([1, 1]);
  await context.sourceLedger.forget({ kind: 'fence', database: 'My "odd" DB' });
  expect((await runOperation(removeLedger, pair.context(undefined))).changed).toBe(true);
  expect(await schemas()).toEqual([0, 0]);
});
