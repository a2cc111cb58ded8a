import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '..');

/** Who may import whom. `types`: only by `import type`. Anything not listed is forbidden. ARCHITECTURE.md says why. */
const ALLOWED: Readonly<Record<string, { readonly values: readonly string[]; readonly types?: readonly string[] }>> = {
  'src/errors': { values: [] },
  'src/log': { values: [] },
  'src/config': { values: ['src/errors'], types: ['src/postgres'] },
  'src/postgres': { values: ['src/errors', 'src/log'] },
  'src/engine': { values: ['src/errors', 'src/log'], types: ['src/config', 'src/postgres', 'src/replication'] },
  'src/replication': { values: ['src/postgres', 'src/errors'], types: ['src/config'] },
  'src/operations': {
    values: ['src/engine', 'src/replication', 'src/postgres', 'src/errors'],
    types: ['src/config', 'src/log'],
  },
  workflows: { values: ['src/engine', 'src/operations'] },
  'src/queue': { values: ['src/engine', 'src/errors', 'src/log', 'src/postgres'], types: ['src/config'] },
  'src/runtime': {
    values: [
      'src/config',
      'src/engine',
      'src/errors',
      'src/log',
      'src/operations',
      'src/postgres',
      'src/queue',
      'src/replication',
    ],
  },
  'src/board': {
    values: ['src/errors', 'src/queue'],
    types: ['src/config', 'src/log', 'src/runtime'],
  },
  'src/cli': {
    values: ['workflows', 'src/board', 'src/config', 'src/engine', 'src/errors', 'src/log', 'src/queue', 'src/runtime'],
    types: ['src/postgres', 'src/operations'],
  },
  workers: {
    values: [
      'workflows',
      'src/board',
      'src/config',
      'src/engine',
      'src/errors',
      'src/log',
      'src/operations',
      'src/postgres',
      'src/queue',
      'src/replication',
      'src/runtime',
    ],
  },
};

/** Packages that have one home. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  pg: ['src/postgres'],
  'pg-copy-streams': ['src/postgres'],
  execa: ['src/postgres'],
  bullmq: ['src/queue'],
  ioredis: ['src/queue'],
  express: ['src/board'],
  '@bull-board/api': ['src/board'],
  '@bull-board/api/bullMQAdapter': ['src/board'],
  '@bull-board/express': ['src/board'],
  'prom-client': ['src/board'],
  commander: ['src/cli'],
  '@clack/prompts': ['src/cli'],
  'log-update': ['src/cli'],
  pino: ['src/log'],
  yaml: ['src/config'],
};

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => name.endsWith('.ts') && statSync(join(ROOT, name)).isFile());
}

/** `src/operations/roles/copy-roles.ts` belongs to `src/operations`, `src/errors.ts` to `src/errors`. */
function layerOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  return top === 'src' ? `${top}/${second.replace(/\.ts$/, '')}` : top;
}

interface Import {
  readonly file: string;
  readonly from: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+['"]([^'"]+)['"]/gms);
  const dynamic = text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g);
  return [
    ...[...statements].map(([, type, from = '']) => ({ file, from, typeOnly: type !== undefined })),
    ...[...dynamic].map(([, from = '']) => ({ file, from, typeOnly: false })),
  ];
}

const files = ['src', 'workers', 'workflows'].flatMap(sources);
const imports = files.flatMap(importsOf);

describe('the house', () => {
  test('there is something to look at', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(100);
  });

  test('everybody imports only whom they may', () => {
    const wrong = imports
      .filter(({ from }) => from.startsWith('.'))
      .filter(({ file, from, typeOnly }) => {
        const importer = layerOf(file);
        const imported = layerOf(relative(ROOT, resolve(ROOT, dirname(file), from)));
        if (importer === imported) return false;
        const rule = ALLOWED[importer];
        if (rule?.values.includes(imported)) return false;
        if (typeOnly && rule?.types?.includes(imported)) return false;
        // The one exception: `pgconvoy worker` is the worker process.
        return !(file === 'src/cli/commands/worker.ts' && imported === 'workers');
      })
      .map(({ file, from }) => `${file} imports ${from}`);
    expect(wrong).toEqual([]);
  });

  test('packages stay at home', () => {
    const wrong = imports
      .filter(({ file, from }) => HOMES[from] && !HOMES[from].includes(layerOf(file)))
      .map(({ file, from }) => `${file} imports ${from}`);
    expect(wrong).toEqual([]);
  });

  test('the queue knows PostgreSQL in one file', () => {
    const knowing = imports
      .filter(({ file, from }) => layerOf(file) === 'src/queue' && from.startsWith('../postgres/'))
      .map(({ file }) => file);
    expect(new Set(knowing)).toEqual(new Set(['src/queue/postgres-store.ts']));
  });

  test('one operation per file, with the name of the file', () => {
    const wrong = sources('src/operations').flatMap((file) => {
      const text = readFileSync(join(ROOT, file), 'utf8');
      const defined = [
        ...text.matchAll(/export const (\w+)\s*(?::[^=]+)?=\s*define(?:Operation|Preflight)\(\{\s*name: '([^']+)'/g),
      ];
      const calls = [...text.matchAll(/\bdefine(?:Operation|Preflight)\(/g)];
      if (calls.length === 0) return [];
      const [, exported, name] = defined[0] ?? [];
      const expected = basename(file, '.ts');
      const camel = expected.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
      return calls.length === 1 && name === expected && exported === camel ? [] : [file];
    });
    expect(wrong).toEqual([]);
  });

  test('only render prints', () => {
    const wrong = files
      .filter((file) => !file.startsWith('src/cli/render/'))
      .filter((file) => /\bconsole\.|process\.std(out|err)\.write/.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(wrong).toEqual([]);
  });

  test('SQL goes by the tag', () => {
    const wrong = files
      .filter((file) => !file.startsWith('src/postgres/'))
      .filter((file) => /\.query\(|exclusively\(/.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(wrong).toEqual([]);
  });
});
