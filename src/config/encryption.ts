import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';

/**
 * Values of the configuration, encrypted with a password: `encrypted:v1:scrypt:N:r:p:SALT:IV:TAG:TEXT`, binary parts as base64url.
 * The key is scrypt's, the cipher AES-256-GCM; the place of the value (`source.password`) and all that stands before the IV are
 * authenticated with it, so that no value works at another place. Documented in docs/configuration.md.
 * @see https://datatracker.ietf.org/doc/html/rfc7914
 */

const BEGINNING = 'encrypted:v1:';
const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** What GCM is made for. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** As costly as N = 2^17 and p = 1, with a quarter of the memory: 32 MiB, a quarter of a second. */
const COST: Cost = { N: 32_768, r: 8, p: 3 };
/** A file that somebody has altered must not be able to take all memory. */
const MOST_BYTES = 1 << 30;

interface Cost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

interface Parts {
  /** Everything before the IV. */
  readonly head: string;
  readonly cost: Cost;
  readonly salt: Buffer;
  readonly iv: Buffer;
  readonly tag: Buffer;
  readonly text: Buffer;
}

export const isEncrypted = (value: unknown): value is string =>
  typeof value === 'string' && value.startsWith(BEGINNING);

/** Encrypts and decrypts with one password. A key takes time, so values that were encrypted together share their salt, and so their key. */
export class ValueCipher {
  readonly #password: string;
  readonly #cost: Cost;
  readonly #salt = randomBytes(SALT_BYTES);
  readonly #keys = new Map<string, Buffer>();

  /** @param cost What a new value costs; what one has cost stands in itself. */
  constructor(password: string, cost: Cost = COST) {
    this.#password = password;
    this.#cost = cost;
  }

  /** @param place The path of the value, e.g. `source.password`. */
  encrypt(text: string, place: string): string {
    const { N, r, p } = this.#cost;
    const head = `${BEGINNING}scrypt:${N}:${r}:${p}:${this.#salt.toString('base64url')}`;
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key(head, this.#cost, this.#salt), iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(boundTo(head, place));
    const encrypted = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    return [head, ...[iv, cipher.getAuthTag(), encrypted].map((part) => part.toString('base64url'))].join(':');
  }

  /** The text; undefined when the password is another one, the value was altered, or it belongs to another place. */
  decrypt(value: string, place: string): string | undefined {
    const parts = partsOf(value);
    if (!parts) return undefined;
    const { head, cost, salt, iv, tag, text } = parts;
    const decipher = createDecipheriv(ALGORITHM, this.#key(head, cost, salt), iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(head, place));
    decipher.setAuthTag(tag);
    try {
      return Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8');
    } catch {
      return undefined;
    }
  }

  #key(head: string, { N, r, p }: Cost, salt: Buffer): Buffer {
    const known = this.#keys.get(head);
    if (known) return known;
    // Composed and decomposed accents are the same password, whatever the keyboard sends.
    const key = scryptSync(this.#password.normalize('NFC'), salt, KEY_BYTES, { N, r, p, maxmem: 2 * MOST_BYTES });
    this.#keys.set(head, key);
    return key;
  }
}

const boundTo = (head: string, place: string): Buffer => Buffer.from(`${head}:${place}`, 'utf8');

function partsOf(value: string): Parts | undefined {
  const match = /^(encrypted:v1:scrypt:(\d{1,9}):(\d{1,3}):(\d{1,3}):([\w-]+)):([\w-]+):([\w-]+):([\w-]*)$/.exec(value);
  if (!match) return undefined;
  const [, head = '', N, r, p, ...binary] = match;
  const cost = { N: Number(N), r: Number(r), p: Number(p) };
  const [salt, iv, tag, text] = binary.map((part) => Buffer.from(part, 'base64url'));
  if (!salt || !iv || !tag || !text || iv.length !== IV_BYTES || tag.length !== TAG_BYTES) return undefined;
  return isPossible(cost) ? { head, cost, salt, iv, tag, text } : undefined;
}

function isPossible({ N, r, p }: Cost): boolean {
  const powerOfTwo = N > 1 && (N & (N - 1)) === 0;
  return powerOfTwo && r > 0 && p > 0 && 128 * N * r <= MOST_BYTES && N * r * p <= 16 * COST.N * COST.r * COST.p;
}
