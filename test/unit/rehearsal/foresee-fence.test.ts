import { expect, test } from 'vitest';
import { judgeSessions } from '../../../src/operations/rehearsal/foresee-fence.ts';

const transaction = { pid: 4711, user: 'app', application: 'batch', seconds: 1, writes: false };
const seen = (...transactions: readonly object[]) => ({
  sessions: 9,
  superusers: 0,
  transactions: transactions.map((one) => ({ ...transaction, ...one })),
});

test('short transactions are nothing to speak of, and autovacuum neither', () => {
  expect(
    judgeSessions('shop', seen({}, { seconds: 4.9 }), [{ database: 'shop', kind: 'transaction', name: 'pid 7 (x)' }]),
  ).toEqual([]);
});

test('long ones are named, since a fence would end them', () => {
  const findings = judgeSessions('shop', seen({ seconds: 312, writes: true }, { seconds: 7, application: '' }), []);
  expect(findings).toMatchObject([{ code: 'fence-ends-transaction', severity: 'warning', database: 'shop' }]);
  expect(findings[0]!.message).toContain(
    'pid 4711 (user "app", batch, 312 s, has written), pid 4711 (user "app", 7 s)',
  );
});

test('what a fence cannot end is named with the lines to type', () => {
  const findings = judgeSessions('shop', seen(), [
    { database: 'shop', kind: 'prepared', name: "o'dd" },
    { database: 'shop', kind: 'subscription', name: 'My "sub"' },
  ]);
  expect(findings.map(({ code, severity, remedy }) => [code, severity, remedy])).toEqual([
    ['fence-refused', 'warning', expect.stringContaining("COMMIT PREPARED 'o''dd'")],
    ['fence-refused', 'warning', expect.stringContaining('ALTER SUBSCRIPTION "My ""sub""" DISABLE')],
  ]);
});
