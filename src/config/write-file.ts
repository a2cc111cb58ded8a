import {
  closeSync,
  fchownSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ConfigError } from '../errors.ts';

/**
 * Writes a configuration at once or not at all, for its owner alone (mode 0600). A link is followed, and a file that is replaced keeps
 * its owner.
 * @throws ConfigError when it cannot be written, or is there already and shall not be replaced
 */
export function writeConfig(file: string, text: string, { replace }: { readonly replace: boolean }): void {
  try {
    write(file, text, replace);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw exists(file);
    throw new ConfigError(`${file} cannot be written: ${message}`, {
      hint: 'Name a file in a folder of yours by --config, or correct the rights on the folder.',
      cause: error,
    });
  }
}

/** For those who look before they ask questions. */
export const exists = (file: string): ConfigError =>
  new ConfigError(`${file} is there already`, {
    hint: 'Give --force to replace it, or another file by --config. To encrypt what stands in it: pgconvoy config --encrypt',
  });

function write(named: string, text: string, replace: boolean): void {
  const before = statSync(named, { throwIfNoEntry: false });
  const file = before && replace ? realpathSync(named) : named;
  const draft = join(dirname(file), `.${basename(file)}.${process.pid}`);
  const handle = openSync(draft, 'wx', 0o600);
  try {
    try {
      if (before && before.uid !== process.getuid?.()) fchownSync(handle, before.uid, before.gid);
      writeFileSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    // A rename replaces whatever is there, a link never does.
    if (replace) renameSync(draft, file);
    else linkSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}
