import { statfsSync } from 'node:fs';
import { freemem } from 'node:os';

const FOLDER = '/dev/shm';
/** What the largest scenario needs, twice over. */
const BYTES = 12 * 1_024 ** 3;

/**
 * Puts all servers into memory, where there is room. On a disk, how long making the files of a database takes depends on what was removed
 * shortly before: ext4 looks for inodes of which nobody has read lately. So whoever came later would be slower.
 */
export function useMemory(): void {
  if (process.env['PGCONVOY_TEST_FOLDER'] || !hasRoom()) return;
  process.env['PGCONVOY_TEST_FOLDER'] = `${FOLDER}/pgconvoy-bench`;
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(FOLDER);
    return Math.min(bavail * bsize, freemem()) >= BYTES;
  } catch {
    return false;
  }
}
