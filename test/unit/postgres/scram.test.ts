import { expect, test } from 'vitest';
import { isVerifierOf, md5Verifier, scramVerifier } from '../../../src/postgres/scram.ts';

test('the verifier has the form that PostgreSQL stores, and comes from password and salt alone', () => {
  const salt = Buffer.from('AAECAwQFBgcICQoLDA0ODw==', 'base64');
  const verifier = scramVerifier('secret', salt);
  expect(verifier).toMatch(/^SCRAM-SHA-256\$4096:AAECAwQFBgcICQoLDA0ODw==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
  expect(scramVerifier('secret', salt)).toBe(verifier);
});

test('a verifier belongs to its password alone', () => {
  const verifier = scramVerifier('one');
  expect(isVerifierOf('one', verifier, 'r')).toBe(true);
  expect(isVerifierOf('other', verifier, 'r')).toBe(false);
  expect(isVerifierOf('one', 'md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'r')).toBe(false);
  expect(isVerifierOf('one', '', 'r')).toBe(false);
});

test('before 10 a server keeps the MD5 of password and role', () => {
  expect(md5Verifier('secret', 'pgconvoy_replication')).toBe('md56b5616f658a5e63f3edc62d96f7341e2');
  expect(isVerifierOf('secret', md5Verifier('secret', 'pgconvoy_replication'), 'pgconvoy_replication')).toBe(true);
  expect(isVerifierOf('secret', md5Verifier('secret', 'pgconvoy_replication'), 'another')).toBe(false);
});
