import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composeConfig } from '../../../src/config/compose.ts';
import { loadConfig, loadInput } from '../../../src/config/load.ts';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { yamlScalar } from '../../../src/config/yaml-scalar.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-compose-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = { HOME: '/nonexistent' };
const awkward = `it's a "p%41ss\\word:@/?#\${HOME} $\${x}, [y] {z} ü 🐘 \t`;
const input: ConfigInput = {
  source: {
    host: '/var/run/my postgres',
    port: 5433,
    user: 'us: er',
    password: awkward,
    database: 'My "odd" DB',
    sslmode: 'require',
    connectTimeout: '3s',
    fromTarget: { host: '10.0.0.5', port: 6000 },
  },
  target: { host: '::1', port: 5432, user: 'null', password: '0123', database: 'postgres', sslrootcert: 'system' },
  queue: { url: 'rediss://me@queue:6380/2', password: '- #x' },
  databases: { include: ['shop_*', 'My "odd" DB', '*,x'], exclude: ['#1'] },
  state: '/srv/pg convoy',
};

describe('a configuration that is written', () => {
  test('is read as it was meant', () => {
    const file = join(folder, 'pgconvoy.yaml');
    writeFileSync(file, composeConfig(input));
    const read = loadConfig({ path: file, env });
    const meant = loadInput(input, { env, cwd: folder });
    expect(read.config).toEqual(meant.config);
    expect(read.addresses).toEqual(meant.addresses);
    expect(read.config.source.password).toBe(awkward);
  });

  test('is the commented example, with these values in their places', () => {
    const example = readFileSync(join(import.meta.dirname, '../../../config.example.yaml'), 'utf8').split('\n');
    const composed = composeConfig({
      source: { host: 'old', port: 5432, user: 'postgres', password: 'p', fromTarget: { host: 'inner' } },
      target: { host: 'new', port: 5432, user: 'postgres' },
    }).split('\n');
    expect(composed).toHaveLength(example.length);
    const changed = composed.filter((line, index) => line !== example[index]);
    expect(changed).toEqual(['  host: old', '  password: p', '  fromTarget: { host: inner }', '  host: new']);
  });

  test('a key that the example does not have is a mistake of ours', () => {
    expect(() => composeConfig({ state: 'x' }, 'source: {}\n')).toThrow('not in config.example.yaml: state');
  });
});

test.each([
  ['old-db.internal', 'old-db.internal'],
  ['/run/postgresql', '/run/postgresql'],
  ['redis://q:6379/0', 'redis://q:6379/0'],
  ['encrypted:v1:scrypt:32768:8:3:a-_:b:c:d', 'encrypted:v1:scrypt:32768:8:3:a-_:b:c:d'],
  ['two words', 'two words'],
  ['5432', '"5432"'],
  ['true', '"true"'],
  ['null', '"null"'],
  ['*', '"*"'],
  ['a,b', '"a,b"'],
  ['a: b', '"a: b"'],
  ['a #b', '"a #b"'],
  [' a', '" a"'],
  ['', '""'],
  ['a"b\\', '"a\\"b\\\\"'],
  ['$x', '"$x"'],
  [`\${x}`, `"$\${x}"`],
])('%s is written %s', (text, written) => expect(yamlScalar(text)).toBe(written));
