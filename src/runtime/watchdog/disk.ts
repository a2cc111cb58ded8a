import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { WalPlace, walPlace } from '../../postgres/catalog/wal-disk.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';

export interface WalDisk {
  /** Undefined where this machine cannot know it. */
  readonly freeBytes: number | undefined;
  /** WAL that the server keeps in any case: what a slot keeps beyond it is freed with the slot. */
  readonly keptAnyway: number;
}

/** Clocks of one machine, seconds: the server notes its start in its file a little before it tells it. */
const STARTED_ALIKE_S = 10;

/** How much room the disk of the WAL has left, where this is the server's machine and its data directory may be read. */
export async function walDisk({ maintenance }: BoundCluster): Promise<WalDisk> {
  const place = await maintenance.one(WalPlace, walPlace());
  const keptAnyway = keptBytes(place);
  try {
    if (!(await isHere(place))) return { freeBytes: undefined, keptAnyway };
    const { bavail, bsize } = await statfs(await walFolder(place.folder));
    return { freeBytes: bavail * bsize, keptAnyway };
  } catch {
    return { freeBytes: undefined, keptAnyway };
  }
}

/**
 * A folder of that name may be another server's: its lock file tells port and start.
 * @see https://www.postgresql.org/docs/current/storage-file-layout.html
 */
async function isHere({ folder, port, started }: WalPlace): Promise<boolean> {
  const lines = (await readFile(join(folder, 'postmaster.pid'), 'utf8')).split('\n');
  return Number(lines[3]) === port && Math.abs(Number(lines[2]) - started) < STARTED_ALIKE_S;
}

/** Before 10 it is called pg_xlog; either may lead to another disk. */
async function walFolder(folder: string): Promise<string> {
  const name = join(folder, 'pg_wal');
  return statfs(name).then(
    () => name,
    () => join(folder, 'pg_xlog'),
  );
}

function keptBytes({ kept, unit }: WalPlace): number {
  const [, count = '', size] = /^(\d*)(kB|MB)$/.exec(unit ?? '') ?? [];
  if (kept === null || size === undefined) return 1_024 ** 3;
  return kept * Number(count || 1) * (size === 'kB' ? 1_024 : 1_024 ** 2);
}
