import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { knownKeys } from '../../../src/config/keys.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { Config } from '../../../src/config/schema.ts';

const FILE = join(import.meta.dirname, '../../../config.example.yaml');

/** Values that are an example, because there is no default to write. */
const EXAMPLES = ['source.host', 'source.port', 'source.user', 'target.host', 'target.port', 'target.user'];

describe('config.example.yaml', () => {
  test('is a configuration', () => {
    const { config, warnings } = loadConfig({ path: FILE, env: { HOME: '/nonexistent' } });
    expect(config.source.host).toBe('old-db.internal');
    expect(warnings).toEqual([]);
  });

  test('writes the defaults of the schema, and nothing else', () => {
    const written = parse(readFileSync(FILE, 'utf8')) as Record<string, Record<string, unknown>>;
    for (const path of EXAMPLES) {
      const [section = '', key = ''] = path.split('.');
      expect(written[section]).toHaveProperty(key);
      delete written[section]?.[key];
    }
    // A section whose keys are all commented out is empty in YAML.
    const sections = Object.fromEntries(Object.entries(written).map(([key, value]) => [key, value ?? {}]));
    expect(Config.parse(sections)).toEqual(Config.parse({}));
    // A key that was left out would be equal too, by its default: each must be written out.
    for (const { path, schema } of knownKeys()) {
      const insideList = path.length > 2 && ['queue', 'fix', 'cutover', 'notifications'].includes(path[0] ?? '');
      if (insideList || !schema.safeParse(undefined).success || schema.safeParse(undefined).data === undefined)
        continue;
      expect(written).toHaveProperty([...path]);
    }
  });

  test('has every key of the schema, in its section', () => {
    // Sections are indented by their depth, also where they are commented out.
    const text = readFileSync(FILE, 'utf8').replaceAll(/^( *)# ?( *)(\w+:( |$))/gm, '$1$2$3');
    const lines = text.split('\n');
    const found = new Set<string>();
    const open: { indent: number; key: string }[] = [];
    for (const line of lines) {
      const [, spaces, key] = /^( *)(\w+):/.exec(line) ?? [];
      if (spaces === undefined || key === undefined) continue;
      while (open.length > 0 && open.at(-1)!.indent >= spaces.length) open.pop();
      open.push({ indent: spaces.length, key });
      found.add(open.map((one) => one.key).join('.'));
      for (const [, inner] of line.matchAll(/[{,] (\w+):/g))
        found.add(`${open.map((one) => one.key).join('.')}.${inner}`);
    }
    const missing = knownKeys()
      .map(({ path }) => path.join('.'))
      .filter((path) => !found.has(path));
    expect(missing).toEqual([]);
  });
});
