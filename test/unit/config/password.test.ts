import { describe, expect, test } from 'vitest';
import { findInPgpass } from '../../../src/config/password.ts';

const find = (text: string, change: Partial<Parameters<typeof findInPgpass>[1]> = {}) =>
  findInPgpass(text, { host: 'db', port: 5432, database: 'postgres', user: 'me', ...change });

describe('findInPgpass', () => {
  test.each([
    ['db:5432:postgres:me:word', 'word'],
    ['*:*:*:*:word', 'word'],
    ['# db:5432:postgres:me:no\n\ndb:5432:postgres:me:word\r\n', 'word'],
    ['db:5432:postgres:you:no\ndb:*:*:me:first\n*:*:*:*:second', 'first'],
    ['db:5432:postgres:me:a\\:b\\\\c', 'a:b\\c'],
    ['db:5432:postgres:me:', ''],
    ['db:5432:postgres', undefined],
    ['db:5433:postgres:me:no', undefined],
    ['\\*:5432:postgres:me:no', undefined],
    ['', undefined],
  ])('%j', (text, password) => expect(find(text)).toBe(password));

  test('names with colons and backslashes', () => {
    expect(find('\\:\\:1:5432:a\\:b:m\\\\e:word', { host: '::1', database: 'a:b', user: 'm\\e' })).toBe('word');
  });

  test('the default socket folder is localhost too', () => {
    expect(find('localhost:5432:*:me:word', { host: '/var/run/postgresql' })).toBe('word');
    expect(find('/srv/pg:5432:*:me:word', { host: '/srv/pg' })).toBe('word');
    expect(find('localhost:5432:*:me:word', { host: '/srv/pg' })).toBeUndefined();
  });
});
