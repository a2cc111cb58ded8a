import { expect, test } from 'vitest';
import { listed } from '../../../src/engine/listed.ts';

const entries = Array.from({ length: 1_000 }, (_, n) => n);
const kept = (databases: number): readonly number[] =>
  listed(entries, { databases: Array.from({ length: databases }, (_, n) => `d${n}`) });

test('the first entries, fewer of them where many databases travel, and never none', () => {
  expect(kept(0)).toHaveLength(300);
  expect(kept(1)).toEqual(entries.slice(0, 300));
  expect(kept(100)).toHaveLength(100);
  expect(kept(10_000)).toHaveLength(20);
  expect(listed(['only'], { databases: ['a'] })).toEqual(['only']);
});
