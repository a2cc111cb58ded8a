import { readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { isAbsolute, resolve } from 'node:path';

/** Variables as `process.env` holds them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable that is set to something; libpq treats an empty one as not set. */
export const variable = (env: Environment, name: string): string | undefined => env[name] || undefined;

export const homeOf = (env: Environment): string => variable(env, 'HOME') ?? homedir();

/** A path of the configuration is relative to the file it stands in. */
export const pathFrom = (folder: string, path: string): string => (isAbsolute(path) ? path : resolve(folder, path));

/** The name of whoever runs this, which libpq takes for the role. */
export function systemUser(env: Environment): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // No entry in the password file, as in many containers.
    return variable(env, 'USER');
  }
}

/** Why a file could not be read, in words. */
export function readText(file: string): { readonly text: string } | { readonly failure: string } {
  try {
    return { text: readFileSync(file, 'utf8') };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const known: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EACCES: 'permission denied',
      EPERM: 'permission denied',
      EISDIR: 'it is a folder, not a file',
      ENOTDIR: 'a part of the path is not a folder',
    };
    return { failure: known[code] ?? (error as Error).message };
  }
}
