import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { identityOf, nameOf, parseIdentity } from './process-identity.ts';
import type { ProcessIdentity } from './process-identity.ts';

/** Notes a process; a second line may say something about it. */
export function writeIdentity(file: string, pid: number, note = ''): void {
  writeFileSync(`${file}.new`, `${nameOf(identityOf(pid))}\n${note}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** What was noted, or undefined where there is nothing to be read. */
export function readIdentity(file: string): (ProcessIdentity & { readonly note: string }) | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const [name = '', note = ''] = text.split('\n');
  const identity = parseIdentity(name);
  return identity && { ...identity, note };
}
