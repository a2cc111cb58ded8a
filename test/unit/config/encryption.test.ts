import { describe, expect, test } from 'vitest';
import { isEncrypted, ValueCipher } from '../../../src/config/encryption.ts';

const SECRET = `it's a "p%41ss\\word:@/?\${X} ü 🐘`;
const CHEAP = { N: 1_024, r: 8, p: 1 };
const cipher = new ValueCipher('correct horse', CHEAP);
const value = cipher.encrypt(SECRET, 'source.password');

describe('an encrypted value', () => {
  test('opens with its password at its place, in another process too', () => {
    expect(new ValueCipher('correct horse').decrypt(value, 'source.password')).toBe(SECRET);
    expect(cipher.decrypt(cipher.encrypt('', 'queue.password'), 'queue.password')).toBe('');
  });

  test('says how it was made, and nothing of what it holds', () => {
    const usual = new ValueCipher('correct horse').encrypt(SECRET, 'source.password');
    expect(usual).toMatch(/^encrypted:v1:scrypt:32768:8:3:[\w-]{22}:[\w-]{16}:[\w-]{22}:[\w-]+$/);
    expect(cipher.decrypt(usual, 'source.password')).toBe(SECRET);
    expect(isEncrypted(value)).toBe(true);
    expect(isEncrypted('encrypted')).toBe(false);
  });

  test('is another one each time, but shares its salt with those made beside it', () => {
    const again = cipher.encrypt(SECRET, 'source.password');
    expect(again).not.toBe(value);
    expect(again.split(':')[6]).toBe(value.split(':')[6]);
    expect(new ValueCipher('correct horse', CHEAP).encrypt(SECRET, 'source.password').split(':')[6]).not.toBe(
      value.split(':')[6],
    );
  });

  test('does not open with another password', () => {
    expect(new ValueCipher('correct hors').decrypt(value, 'source.password')).toBeUndefined();
  });

  test('does not open at another place', () => {
    expect(cipher.decrypt(value, 'target.password')).toBeUndefined();
  });

  test.each([
    ['N', 3, '2048'],
    ['r', 4, '4'],
    ['p', 5, '2'],
    ['salt', 6, 'AAAAAAAAAAAAAAAAAAAAAA'],
    ['iv', 7, 'AAAAAAAAAAAAAAAA'],
    ['tag', 8, 'AAAAAAAAAAAAAAAAAAAAAA'],
    ['a shortened tag', 8, 'AAAA'],
    ['text', 9, 'AAAA'],
    ['no text', 9, ''],
    ['a cost that takes all memory', 3, '268435456'],
    ['a cost that is none', 3, '1023'],
    ['another method', 2, 'pbkdf2'],
  ])('does not open with another %s', (_, index, part) => {
    const parts = value.split(':');
    parts[index] = part;
    expect(cipher.decrypt(parts.join(':'), 'source.password')).toBeUndefined();
  });

  test('an accent is the same however it is composed', () => {
    const made = new ValueCipher('caf\u00e9', CHEAP).encrypt('x', 'queue.url');
    expect(new ValueCipher('cafe\u0301').decrypt(made, 'queue.url')).toBe('x');
  });
});
