import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** Dumps of schemas are put into folders of their own below the one for temporary files, as here. */
export const temporaryFolder: Concern = {
  name: 'temporary folder',
  side: 'here',
  async look() {
    const folder = tmpdir();
    return [{ id: 'temporary-folder', title: 'temporary folder', detail: folder, findings: await tryFolder(folder) }];
  },
};

export async function tryFolder(folder: string): Promise<CheckFinding[]> {
  try {
    await rmdir(await mkdtemp(join(folder, 'pgconvoy-')));
    return [];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'it does not exist', EACCES: 'it is not writable', ENOSPC: 'its disk is full' }[code ?? ''];
    return [
      {
        code: 'temporary-folder',
        severity: 'block',
        side: 'target',
        object: folder,
        message: `No folder can be made in ${folder}, where dumps of schemas are put: ${why ?? message}.`,
        remedy:
          'Make it writable for the user that the worker runs as, or start the worker with TMPDIR=/another/folder.',
      },
    ];
  }
}
