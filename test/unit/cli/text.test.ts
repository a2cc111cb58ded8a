import { describe, expect, test } from 'vitest';
import {
  bar,
  bytes,
  clip,
  clipMiddle,
  columns,
  duration,
  percent,
  plural,
  visible,
  widthOf,
  wrap,
} from '../../../src/cli/render/text.ts';

describe('widths', () => {
  test.each([
    ['abc', 3],
    ['数据库', 6],
    ['é', 1],
    ['e\u0301', 1],
    ['\u001b[31mred\u001b[39m', 3],
  ])('%j takes %i columns', (text, width) => {
    expect(widthOf(text)).toBe(width);
  });

  test('clipping never exceeds the width', () => {
    for (const text of ['customers_of_the_eu', '数据库数据库', 'ab']) {
      for (let width = 1; width < 20; width++) {
        expect(widthOf(clip(text, width))).toBeLessThanOrEqual(width);
        expect(widthOf(clipMiddle(text, width))).toBeLessThanOrEqual(width);
      }
    }
    expect(clipMiddle('customers_of_the_eu_2024', 12)).toBe('customer…024');
  });

  test('columns line up, whatever is in them', () => {
    expect(
      columns([
        ['数据', { right: '1' }, 'x'],
        ['a', { right: '100' }, ''],
      ]),
    ).toEqual(['数据    1  x', 'a     100']);
  });
});

test('control characters of a name become visible', () => {
  expect(visible('a\u001b[2Jb\nc\u202ed')).toBe('a\\x1b[2Jb\\nc\\x202ed');
  expect(visible('My "odd" DB é 数')).toBe('My "odd" DB é 数');
});

test('wrapping keeps words whole and lines apart', () => {
  expect(wrap('one two three', 7, '  ')).toBe('  one two\n  three');
  expect(wrap('a-very-long-word b', 5)).toBe('a-very-long-word\nb');
  expect(wrap('a\n\nb', 5, ' ')).toBe(' a\n\n b');
});

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1.0 kB'],
  [742 * 1024 ** 2, '742 MB'],
  [2.34 * 1024 ** 3, '2.3 GB'],
  [5 * 1024 ** 5, '5.0 PB'],
])('%d bytes are %s', (value, text) => {
  expect(bytes(value)).toBe(text);
});

test.each([
  [-5, '0 ms'],
  [840, '840 ms'],
  [1_234, '1.2 s'],
  [59_600, '1m 00s'],
  [185_000, '3m 05s'],
  [7_800_000, '2h 10m'],
  [273_600_000, '3d 4h'],
])('%d ms are %s', (value, text) => {
  expect(duration(value)).toBe(text);
});

test('a bar is full only when all is done', () => {
  expect(bar(999, 1000, 8)).toBe('███████░');
  expect(bar(0, 0, 4)).toBe('████');
  expect(bar(12, 10, 4)).toBe('████');
  expect(percent(999.9, 1000)).toBe('99%');
  expect(percent(0, 0)).toBe('100%');
});

test('one and many', () => {
  expect(plural(1, 'database')).toBe('1 database');
  expect(plural(1_200, 'database')).toBe('1,200 databases');
  expect(plural(2, 'more database')).toBe('2 more databases');
});
