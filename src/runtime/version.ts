import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The version of package.json, which lies above this file at different depths: in the sources and in dist. */
export const version: string = read(dirname(fileURLToPath(import.meta.url)));

function read(folder: string): string {
  const file = join(folder, 'package.json');
  if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  return read(dirname(folder));
}
