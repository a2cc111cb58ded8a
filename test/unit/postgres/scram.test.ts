import { expect, test } from 'vitest';
import { isVerifierOf, scramVerifier } from '../../../src/postgres/scram.ts';

test('the verifier has the form that PostgreSQL stores, and comes from password and salt alone', () => {
  const salt = Buffer.from('AAECAwQFBgcICQoLDA0ODw==', 'base64');
  const verifier = scramVerifier('secret', salt);
  expect(verifier).toMatch(/^SCRAM-SHA-256\$4096:AAECAwQFBgcICQoLDA0ODw==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
  expect(scramVerifier('secret', salt)).toBe(verifier);
});

test('a verifier belongs to its password alone', () => {
  const verifier = scramVerifier('one');
  expect(isVerifierOf('one', verifier)).toBe(true);
  expect(isVerifierOf('other', verifier)).toBe(false);
  expect(isVerifierOf('one', 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')).toBe(false);
  expect(isVerifierOf('one', '')).toBe(false);
});
