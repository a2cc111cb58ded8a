import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

const ITERATIONS = 4_096;

/**
 * What a server keeps of a password, so that the password itself never travels in CREATE ROLE. ASCII passwords only: others
 * would need SASLprep first.
 * @see https://www.postgresql.org/docs/current/catalog-pg-authid.html
 */
export function scramVerifier(
  password: string,
  salt: Buffer = randomBytes(16),
  iterations: number = ITERATIONS,
): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/**
 * What a server before 10 keeps of a role's password.
 * @see https://www.postgresql.org/docs/9.6/catalog-pg-authid.html
 */
export const md5Verifier = (password: string, role: string): string =>
  `md5${createHash('md5').update(password).update(role).digest('hex')}`;

/** Whether this is the verifier of that role's password. */
export function isVerifierOf(password: string, verifier: string, role: string): boolean {
  if (verifier.startsWith('md5')) return verifier === md5Verifier(password, role);
  const [, iterations, salt] = /^SCRAM-SHA-256\$(\d+):([^$]+)\$/.exec(verifier) ?? [];
  if (iterations === undefined || salt === undefined) return false;
  const expected = Buffer.from(scramVerifier(password, Buffer.from(salt, 'base64'), Number(iterations)));
  const given = Buffer.from(verifier);
  return expected.length === given.length && timingSafeEqual(expected, given);
}
