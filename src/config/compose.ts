import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from './schema.ts';
import { yamlScalar } from './yaml-scalar.ts';
import type { Path } from './yaml-file.ts';

/** The example explains every key, so it is what new configurations are made of; it lies above this file at different depths. */
const EXAMPLE = 'config.example.yaml';

/**
 * The text of a configuration file: the commented example with these values in it. What is not given stays as the example has it; but
 * what the example only illustrates (host, port, user) must be given.
 */
export function composeConfig(input: ConfigInput, example: string = readExample()): string {
  const wanted = new Map(leavesOf(input).map(([path, value]) => [path.join('.'), value] as const));
  const open: { readonly indent: number; readonly key: string }[] = [];
  const lines = example.split('\n').map((line) => {
    const [, spaces, mark, more, key] = /^( *)(# ?)?( *)(\w+):(?= |$)/.exec(line) ?? [];
    if (spaces === undefined || more === undefined || key === undefined) return line;
    // A key in a comment stands where it would stand without the mark.
    const indent = spaces.length + more.length;
    while (open.length > 0 && open.at(-1)!.indent >= indent) open.pop();
    const path = [...open.map((one) => one.key), key].join('.');
    const value = wanted.get(path);
    if (mark === undefined || value !== undefined) open.push({ indent, key });
    if (value === undefined) return line;
    wanted.delete(path);
    return `${' '.repeat(indent)}${key}: ${rendered(value)}`;
  });
  if (wanted.size > 0) throw new Error(`not in ${EXAMPLE}: ${[...wanted.keys()].join(', ')}`);
  return lines.join('\n');
}

function readExample(folder = dirname(fileURLToPath(import.meta.url))): string {
  const file = join(folder, EXAMPLE);
  return existsSync(file) ? readFileSync(file, 'utf8') : readExample(dirname(folder));
}

type Leaf = string | number | readonly string[] | Readonly<Record<string, string | number>>;

/** `source.fromTarget` is written in one line; nothing else of what is composed lies deeper than a section. */
function leavesOf(value: object, path: Path = []): (readonly [Path, Leaf])[] {
  return Object.entries(value).flatMap(([key, inner]): (readonly [Path, Leaf])[] => {
    if (inner === undefined) return [];
    const here = [...path, key];
    const isSection = path.length === 0 && typeof inner === 'object';
    return isSection ? leavesOf(inner as object, here) : [[here, inner as Leaf]];
  });
}

function rendered(value: Leaf): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return yamlScalar(value);
  if (Array.isArray(value)) return `[${value.map((one) => yamlScalar(String(one))).join(', ')}]`;
  const entries = Object.entries(value).map(([key, inner]) => `${key}: ${rendered(inner as string | number)}`);
  return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
}
