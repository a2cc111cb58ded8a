import { isDeepStrictEqual } from 'node:util';
import { isAlias, isScalar, parseDocument } from 'yaml';
import type { Document, Scalar } from 'yaml';
import { ConfigError } from '../errors.ts';
import { isEncrypted } from './encryption.ts';
import type { ValueCipher } from './encryption.ts';
import type { ConfigInput } from './schema.ts';
import type { Path } from './yaml-file.ts';
import { escapedVariables, yamlScalar } from './yaml-scalar.ts';

/** Where credentials stand. An address of the queue is one when there is a password in it. */
const CREDENTIALS: readonly Path[] = [
  ['source', 'password'],
  ['target', 'password'],
  ['queue', 'password'],
  ['queue', 'url'],
  ['board', 'password'],
  ['board', 'token'],
];

/** The same, and those that stand in lists. An address of a webhook is a secret as a whole. */
const credentialPaths = (value: unknown): Path[] => [
  ...CREDENTIALS,
  ...elementsAt(value, ['cutover', 'pgbouncer']).map((_, index): Path => ['cutover', 'pgbouncer', index, 'password']),
  ...elementsAt(value, ['notifications', 'webhooks']).map((_, index): Path => [...WEBHOOKS, index, 'url']),
  ...namesAt(value, ['cutover', 'hooks'], 'environment'),
  ...namesAt(value, WEBHOOKS, 'headers'),
];

const WEBHOOKS: Path = ['notifications', 'webhooks'];

/** The paths of all that stands under this key of each element of a list. */
const namesAt = (value: unknown, list: Path, key: string): Path[] =>
  elementsAt(value, list).flatMap((each, index) =>
    Object.keys(Object(valueAt(each, [key]))).map((name): Path => [...list, index, key, name]),
  );

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown> | null | undefined)?.[key], value);
}

function elementsAt(value: unknown, path: Path): readonly unknown[] {
  const list = valueAt(value, path);
  return Array.isArray(list) ? list : [];
}

export interface Recoded {
  readonly text: string;
  /** The keys whose values were changed, e.g. `source.password`. */
  readonly changed: readonly string[];
}

/** The configuration with its credentials encrypted, before it is written. */
export function sealInput(input: ConfigInput, cipher: ValueCipher): ConfigInput {
  const copy = structuredClone(input);
  for (const path of credentialPaths(copy)) {
    const value = valueAt(copy, path);
    if (!isPlainCredential(path, value)) continue;
    const parent = valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown>;
    parent[path.at(-1)!] = cipher.encrypt(value, path.join('.'));
  }
  return copy;
}

/** Whether there is anything to encrypt at all. */
export function holdsCredentials(input: ConfigInput): boolean {
  return credentialPaths(input).some((path) => isPlainCredential(path, valueAt(input, path)));
}

/**
 * Encrypts the plain credentials of a file and leaves every other character as it is. What comes from a variable or is encrypted
 * already stays.
 * @throws ConfigError
 */
export function sealText(file: string, text: string, cipher: ValueCipher): Recoded {
  return recode(file, text, credentialPaths(parse(file, text).toJS()), (value, path) => {
    if (!isPlainCredential(path, value) || namesVariable(value)) return undefined;
    const plain = value.replaceAll('$${', '${');
    const encrypted = cipher.encrypt(plain, path.join('.'));
    return { written: encrypted, value: encrypted };
  });
}

/**
 * Writes in plain whatever is encrypted.
 * @throws ConfigError when the password opens none, or not all
 */
export function unsealText(file: string, text: string, cipher: ValueCipher): Recoded {
  const document = parse(file, text);
  return recode(file, text, encryptedPaths(document.toJS()), (value, path) => {
    const name = path.join('.');
    const plain = cipher.decrypt(String(value), name);
    if (plain === undefined) {
      throw new ConfigError(`${file}: the password does not open ${name}`, {
        hint: 'Give the password with which it was encrypted; if that is right, the value was altered or moved to another key.',
      });
    }
    return { written: yamlScalar(plain), value: escapedVariables(plain) };
  });
}

interface Replacement {
  /** As it stands in the file. */
  readonly written: string;
  /** As YAML reads it back. */
  readonly value: string;
}

function recode(
  file: string,
  text: string,
  paths: readonly Path[],
  replace: (value: unknown, path: Path) => Replacement | undefined,
): Recoded {
  const document = parse(file, text);
  const edits: (Replacement & {
    readonly path: Path;
    readonly range: readonly [number, number];
    readonly ending: string;
  })[] = [];
  for (const path of paths) {
    const node: unknown = document.getIn(path, true);
    const scalar = isAlias(node) ? node.resolve(document) : node;
    if (!isScalar(scalar)) continue;
    const replacement = replace(scalar.value, path);
    const range = (node as Scalar).range;
    if (!replacement || !range) continue;
    const [start, end] = range;
    // A block ends with the end of its last line, a plain or quoted value before it.
    edits.push({ ...replacement, path, range: [start, end], ending: text[end - 1] === '\n' ? '\n' : '' });
  }
  let result = text;
  for (const { range, written, ending } of edits.toSorted((a, b) => b.range[0] - a.range[0]))
    result = result.slice(0, range[0]) + written + ending + result.slice(range[1]);
  prove(file, document, edits, result);
  return { text: result, changed: edits.map(({ path }) => path.join('.')) };
}

/** Better no change than a file that says something else afterwards. */
function prove(file: string, before: Document, edits: readonly (Replacement & { path: Path })[], text: string): void {
  // Copied, so that what an alias repeats are values of their own.
  const expected: unknown = JSON.parse(JSON.stringify(before.toJS() ?? null));
  for (const { path, value } of edits) {
    const parent = valueAt(expected, path.slice(0, -1));
    (parent as Record<string | number, unknown>)[path.at(-1)!] = value;
  }
  if (isDeepStrictEqual(expected, JSON.parse(JSON.stringify(parse(file, text).toJS() ?? null)))) return;
  throw new ConfigError(`${file}: its values are written in a way that cannot be changed in place`, {
    hint: 'Write each password as one word or in quotes, in its own line, without anchors (&) and aliases (*).',
  });
}

function parse(file: string, text: string): Document {
  const document = parseDocument(text, { prettyErrors: true, logLevel: 'silent' });
  const [error] = document.errors;
  if (!error) return document;
  throw new ConfigError(`${file} is not YAML: ${error.message}`, {
    hint: 'Correct it first; pgconvoy check names the place.',
  });
}

function isPlainCredential(path: Path, value: unknown): value is string {
  const encrypted: boolean = isEncrypted(value);
  if (typeof value !== 'string' || value === '' || encrypted) return false;
  return path[0] !== 'queue' || path.at(-1) !== 'url' || (URL.canParse(value) && new URL(value).password !== '');
}

/** `$${` is a literal `${`. */
const namesVariable = (value: string): boolean => value.replaceAll('$${', '').includes('${');

function encryptedPaths(value: unknown, path: Path = []): Path[] {
  if (isEncrypted(value)) return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    encryptedPaths(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}
