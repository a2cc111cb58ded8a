import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PasswordNeeded } from '../../../src/config/decrypt.ts';
import { ValueCipher } from '../../../src/config/encryption.ts';
import { loadConfig } from '../../../src/config/load.ts';
import type { LoadOptions } from '../../../src/config/load.ts';
import { ConfigError } from '../../../src/errors.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-encrypted-'));
  writeFileSync(join(folder, 'right'), 'open sesame\nand more\n', { mode: 0o600 });
  writeFileSync(join(folder, 'wrong'), 'open barley\n', { mode: 0o600 });
  writeFileSync(join(folder, 'empty'), '\n', { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const cipher = new ValueCipher('open sesame', { N: 1_024, r: 8, p: 1 });
const enc = (text: string, place: string) => cipher.encrypt(text, place);
const both = (source: string, target: string) =>
  `source: { host: old, user: me, password: ${source} }\ntarget: { host: new, user: me, password: ${target} }\n`;
const BOTH = both(enc(`\${old} secret`, 'source.password'), enc('new secret', 'target.password'));

const load = (yaml: string, options: Partial<LoadOptions> = {}, env: Readonly<Record<string, string>> = {}) => {
  writeFileSync(join(folder, 'pgconvoy.yaml'), yaml);
  return loadConfig({ cwd: folder, ...options, env: { HOME: folder, ...env } });
};
const refusal = (...given: Parameters<typeof load>): ConfigError => {
  try {
    load(...given);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

describe('an encrypted configuration', () => {
  test.each<[string, Partial<LoadOptions>, Readonly<Record<string, string>>]>([
    ['what was typed', { configPassword: 'open sesame', configPasswordFile: 'wrong' }, {}],
    ['the file of the flag', { configPasswordFile: 'right' }, { PGCONVOY_CONFIG_PASSWORD: 'wrong' }],
    ['the variable', {}, { PGCONVOY_CONFIG_PASSWORD: 'open sesame', PGCONVOY_CONFIG_PASSWORD_FILE: 'wrong' }],
    ['the file that the variable names', {}, { PGCONVOY_CONFIG_PASSWORD_FILE: 'right' }],
  ])('is opened with %s', (_, options, env) => {
    const { addresses, config, configPassword, warnings } = load(BOTH, options, env);
    // What was decrypted means itself: no variable is put in.
    expect([addresses.source.password, addresses.target.password]).toEqual([`\${old} secret`, 'new secret']);
    expect(config.target.password).toBe('new secret');
    expect(configPassword).toBe('open sesame');
    expect(warnings).toEqual([]);
  });

  test('any other value can be encrypted too, and it is checked as if it were plain', () => {
    const yaml = `${BOTH}queue: { url: ${enc('redis://me:word@q', 'queue.url')} }\n`;
    expect(load(yaml, { configPassword: 'open sesame' }).config.queue.url).toBe('redis://me:word@q');
    const wrong = refusal(yaml.replace(/queue: .*/, `queue: { url: ${enc('http://q', 'queue.url')} }`), {
      configPassword: 'open sesame',
    });
    expect(wrong.message).toMatch(/pgconvoy\.yaml:3:15: queue\.url: an address like/);
    expect(wrong.text).not.toContain('http://q');
  });

  test('without a password says how to give one, and can be told apart by who may ask', () => {
    const error = refusal(BOTH);
    expect(error).toBeInstanceOf(PasswordNeeded);
    expect(error.exitCode).toBe(2);
    expect(error.message).toBe(
      `${join(folder, 'pgconvoy.yaml')}: source.password, target.password: encrypted, and no password was given`,
    );
    for (const way of ['PGCONVOY_CONFIG_PASSWORD,', '--config-password-file', 'PGCONVOY_CONFIG_PASSWORD_FILE'])
      expect(error.hint).toContain(way);
  });

  test('a wrong password is one message', () => {
    const error = refusal(BOTH, {}, { PGCONVOY_CONFIG_PASSWORD: 'open barley' });
    expect(error).not.toBeInstanceOf(PasswordNeeded);
    expect(error.exitCode).toBe(2);
    expect(error.message).toBe(
      `${join(folder, 'pgconvoy.yaml')}: PGCONVOY_CONFIG_PASSWORD is not the password with which source.password, target.password were encrypted`,
    );
    expect(error.text).not.toContain('barley');
    expect(refusal(BOTH, { configPasswordFile: 'wrong' }).message).toContain(
      `--config-password-file (${join(folder, 'wrong')})`,
    );
  });

  test('a value that was moved or altered is named by its place', () => {
    const moved = both(enc('old secret', 'source.password'), enc('old secret', 'source.password'));
    const error = refusal(moved, { configPassword: 'open sesame' });
    expect(error.message).toMatch(
      /pgconvoy\.yaml:2:\d+: target\.password: this encrypted value was altered, belongs to another key/,
    );
    expect(error.message).not.toContain('source.password:');
    expect(error.hint).toContain('pgconvoy config --encrypt');
  });

  test('a section that a flag replaces needs no password', () => {
    const flags = { source: 'postgres://a', target: 'postgres://b' };
    expect(load(BOTH, { flags }).configPassword).toBeUndefined();
  });

  test('a plain configuration asks for none, whatever the variables say', () => {
    const plain = load(both('a', 'b'), {}, { PGCONVOY_CONFIG_PASSWORD_FILE: 'nowhere' });
    expect(plain.configPassword).toBeUndefined();
  });

  test.each([
    ['nowhere', 'cannot be read: there is no such file'],
    ['empty', 'holds no password in its first line'],
  ])('a password file that holds none is named: %s', (name, message) => {
    const error = refusal(BOTH, {}, { PGCONVOY_CONFIG_PASSWORD_FILE: name });
    expect(error.message).toBe(`PGCONVOY_CONFIG_PASSWORD_FILE: ${join(folder, name)} ${message}`);
  });

  test('a password file that others may read is warned of', () => {
    const open = join(folder, 'open');
    writeFileSync(open, 'open sesame\n');
    chmodSync(open, 0o644);
    expect(load(BOTH, { configPasswordFile: open }).warnings).toEqual([
      `--config-password-file: others may read ${open} (chmod 0600 "${open}")`,
    ]);
  });
});
