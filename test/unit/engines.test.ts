import { expect, test } from 'vitest';
import { engineFor } from '../../src/replication/engines.ts';

test.each([
  ['auto', 9.4, 'pglogical'],
  ['auto', 9.6, 'pglogical'],
  ['auto', 10, 'native'],
  ['auto', 18, 'native'],
  ['pglogical', 18, 'pglogical'],
  ['native', 13, 'native'],
] as const)('engine %s, source %f: %s', (wanted, major, name) => {
  expect(engineFor(wanted, major).name).toBe(name);
});
