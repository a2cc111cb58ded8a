import { ConfigError } from '../errors.ts';
import { WAYS_TO_GIVE } from './config-password.ts';
import type { FoundPassword } from './config-password.ts';
import { isEncrypted, ValueCipher } from './encryption.ts';
import type { Problem } from './problems.ts';
import type { Path } from './yaml-file.ts';

/** Values are encrypted and nothing has said with which password: on a terminal a person can be asked. */
export class PasswordNeeded extends ConfigError {
  override name = 'PasswordNeeded';
}

interface Encrypted {
  readonly path: Path;
  readonly text: string;
}

export interface DecryptOptions {
  /** The file, for messages. */
  readonly file: string;
  /** Looked for only where something is encrypted. */
  readonly password: () => FoundPassword | undefined;
  readonly placeOf: (path: Path) => string;
}

export interface Decrypted {
  readonly value: unknown;
  readonly password: FoundPassword | undefined;
  /** Values that the password does not open while it opens others. */
  readonly problems: readonly Problem[];
}

/**
 * The configuration with every encrypted value replaced by what it says.
 * @throws PasswordNeeded; ConfigError when the password opens nothing
 */
export function decryptValues(value: unknown, { file, password, placeOf }: DecryptOptions): Decrypted {
  const encrypted = encryptedIn(value);
  if (encrypted.length === 0) return { value, password: undefined, problems: [] };
  const names = encrypted.map(({ path }) => path.join('.')).join(', ');
  const found = password();
  if (!found) {
    throw new PasswordNeeded(`${file}: ${names}: encrypted, and no password was given`, { hint: WAYS_TO_GIVE });
  }
  const cipher = new ValueCipher(found.password);
  const opened = new Map<string, string | undefined>();
  for (const { path, text } of encrypted) opened.set(JSON.stringify(path), cipher.decrypt(text, path.join('.')));
  const closed = encrypted.filter(({ path }) => opened.get(JSON.stringify(path)) === undefined);
  if (closed.length === encrypted.length) {
    throw new ConfigError(`${file}: ${found.origin} is not the password with which ${names} ${was(closed)} encrypted`, {
      hint: 'Give the right one. If it is, these values were altered or moved to another key: write them in plain, then run pgconvoy config --encrypt',
    });
  }
  return {
    value: replaced(value, [], opened),
    password: found,
    problems: closed.map(({ path }) => ({
      place: placeOf(path),
      message: `${path.join('.')}: this encrypted value was altered, belongs to another key, or has another password than the others`,
      remedy: 'Write the value in plain, then run pgconvoy config --encrypt',
    })),
  };
}

const was = (values: readonly unknown[]): string => (values.length === 1 ? 'was' : 'were');

function encryptedIn(value: unknown, path: Path = []): Encrypted[] {
  if (isEncrypted(value)) return [{ path, text: value }];
  return entriesOf(value).flatMap(([key, inner]) => encryptedIn(inner, [...path, key]));
}

function replaced(value: unknown, path: Path, opened: ReadonlyMap<string, string | undefined>): unknown {
  const here = opened.get(JSON.stringify(path));
  if (here !== undefined) return here;
  if (Array.isArray(value)) return value.map((inner, index) => replaced(inner, [...path, index], opened));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(entriesOf(value).map(([key, inner]) => [key, replaced(inner, [...path, key], opened)]));
}

function entriesOf(value: unknown): (readonly [string | number, unknown])[] {
  if (Array.isArray(value)) return value.map((inner, index) => [index, inner] as const);
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}
