import { expect, test } from 'vitest';
import { Config } from '../../../src/config/schema.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import type { OperationContext } from '../../../src/engine/operation.ts';
import { policyOf } from '../../../src/operations/unreplicated/policy.ts';

const policy = (database: string, config: ConfigInput) =>
  policyOf(
    { source: { name: database } as OperationContext['source'], settings: Config.parse(config) },
    'largeObjects',
  );

const block: ConfigInput = { notReplicated: { largeObjects: 'block' } };

test('what blocks and is waived is left behind, in that database alone', () => {
  const accept = [{ finding: 'large-objects', database: 'billing', reason: 'orphans' }];
  expect(policy('billing', block)).toBe('block');
  expect(policy('billing', { ...block, accept })).toBe('leave');
  expect(policy('shop', { ...block, accept })).toBe('block');
});

test('a waiver changes nothing where nothing blocks', () => {
  expect(policy('billing', { accept: ['large-objects'] })).toBe('copy');
});
