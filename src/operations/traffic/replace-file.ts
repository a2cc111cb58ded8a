import { randomBytes } from 'node:crypto';
import { access, constants, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PgconvoyError } from '../../errors.ts';

/** @throws PgconvoyError where it cannot be read */
export async function readTextFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw cannot('read', file, error);
  }
}

/**
 * Replaces a file at once: whoever reads it sees the old text or the new one. Owner and mode stay; of a link the file it leads to is
 * replaced.
 * @throws PgconvoyError where that cannot be done, with the file as it was
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  try {
    const path = await realpath(file);
    const { mode, uid, gid } = await stat(path);
    const fresh = `${path}.pgconvoy-${randomBytes(4).toString('hex')}`;
    const handle = await open(fresh, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      if (uid !== process.getuid?.() || gid !== process.getgid?.()) await handle.chown(uid, gid);
      await handle.chmod(mode & 0o7777);
      await handle.sync();
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw cannot('replace', file, error);
  }
}

/** Why it could not be replaced, or undefined. Changes nothing. */
export async function whyNotReplaceable(file: string): Promise<string | undefined> {
  try {
    const path = await realpath(file);
    await access(path, constants.R_OK);
    await access(dirname(path), constants.W_OK);
    const { uid, gid } = await stat(path);
    const mine = uid === process.getuid?.() && (gid === process.getgid?.() || process.getgroups?.().includes(gid));
    return mine || process.getuid?.() === 0 ? undefined : 'it belongs to another user';
  } catch (error) {
    return reason(error);
  }
}

const cannot = (what: string, file: string, error: unknown): PgconvoyError =>
  new PgconvoyError(`here, the file ${file} of PgBouncer: cannot ${what} it: ${reason(error)}`, {
    hint: 'The worker must run as the owner of that file (or as root), on the machine of that PgBouncer, and may write to its folder; see cutover.pgbouncer.',
    cause: error,
  });

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EPERM: 'it belongs to another user',
    EROFS: 'its disk is read-only',
    ENOSPC: 'its disk is full',
  };
  return known[code ?? ''] ?? message;
}
