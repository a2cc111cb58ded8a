import { expect, test } from 'vitest';
import { acceptFindings, describeAcceptance, isAccepted } from '../../../src/engine/finding.ts';
import type { Finding } from '../../../src/engine/finding.ts';

const drift = (database?: string): Finding => ({
  code: 'schema-drift',
  severity: 'block',
  side: 'source',
  database,
  message: 'A view is gone.',
  remedy: 'pgconvoy resync',
});

test.each([
  [['schema-drift'], true],
  [['schema-drift:billing'], true],
  [['schema-drift:shop', 'locale-missing'], false],
  [[{ finding: 'schema-drift', reason: 'known' }], true],
  [[{ finding: 'schema-drift', database: 'billing', reason: 'known' }], true],
  [[{ finding: 'schema-drift', database: 'shop', reason: 'known' }], false],
])('%j accepts it in billing: %s', (accepted, expected) => {
  expect(isAccepted(drift('billing'), accepted)).toBe(expected);
  expect(acceptFindings([drift('billing')], accepted)[0]?.accepted ?? false).toBe(expected);
});

test('what is accepted stays visible, with the reason', () => {
  const accepted = [
    'schema-drift',
    { finding: 'schema-drift', database: 'billing', reason: 'the old view is not used any more' },
  ];
  const [billing, shop] = acceptFindings([drift('billing'), drift('shop')], accepted);
  expect(billing).toMatchObject({
    severity: 'warning',
    accepted: true,
    reason: 'the old view is not used any more',
    message: 'A view is gone. (accepted in the configuration: the old view is not used any more)',
  });
  expect(shop).toMatchObject({ severity: 'warning', message: 'A view is gone. (accepted in the configuration)' });
  expect(shop).not.toHaveProperty('reason');
  expect(accepted.map(describeAcceptance)).toEqual([
    'schema-drift',
    'schema-drift in billing (the old view is not used any more)',
  ]);
});

test('a warning needs no acceptance', () => {
  const warning: Finding = { ...drift('billing'), severity: 'warning' };
  expect(acceptFindings([warning], ['schema-drift'])).toEqual([warning]);
});
