import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgconvoyError } from '../../errors.ts';
import { identityOf, isRunning, nameOf, parseIdentity } from './process-identity.ts';

/**
 * Runs `body` while no other process does so with the same file. What a killed process has left is broken by the next one.
 * @throws PgconvoyError when somebody holds it for longer than `patienceMs`.
 */
export async function withFileLock<T>(file: string, patienceMs: number, body: () => Promise<T>): Promise<T> {
  const mine = `${file}.${process.pid}.${nextNumber()}`;
  writeFileSync(mine, nameOf(identityOf(process.pid)), { mode: 0o600 });
  try {
    const deadline = Date.now() + patienceMs;
    while (!take(mine, file)) {
      breakStale(file, mine);
      if (Date.now() > deadline) {
        throw new PgconvoyError(`another pgconvoy command holds ${file} for longer than ${patienceMs / 1_000} s`, {
          hint: 'Wait for it to end; if none runs any more, remove that file.',
          disposition: 'retry',
        });
      }
      await sleep(30);
    }
    try {
      return await body();
    } finally {
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

let count = 0;
const nextNumber = (): number => ++count;

/** A link appears with its contents, or not at all. */
function take(mine: string, file: string): boolean {
  try {
    linkSync(mine, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function breakStale(file: string, mine: string): void {
  const aside = `${mine}.stale`;
  try {
    if (isHeld(file)) return;
    renameSync(file, aside);
    // Somebody else may have broken and taken it between the look and the renaming: then it goes back.
    if (isHeld(aside)) linkSync(aside, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function isHeld(file: string): boolean {
  const holder = parseIdentity(readFileSync(file, 'utf8'));
  return holder !== undefined && isRunning(holder);
}
