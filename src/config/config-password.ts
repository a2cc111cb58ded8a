import { ConfigError } from '../errors.ts';
import { pathFrom, readText, variable } from './environment.ts';
import type { Environment } from './environment.ts';
import { firstLine, openToOthers } from './password.ts';

const PASSWORD_VARIABLE = 'PGCONVOY_CONFIG_PASSWORD';
const FILE_VARIABLE = 'PGCONVOY_CONFIG_PASSWORD_FILE';

/** All ways to give the password of an encrypted configuration, for hints. */
export const WAYS_TO_GIVE = `Set ${PASSWORD_VARIABLE}, or name a file whose first line it is: --config-password-file or ${FILE_VARIABLE}. On a terminal pgconvoy asks.`;

export interface PasswordOptions {
  /** What a person has typed. */
  readonly configPassword?: string | undefined;
  /** `--config-password-file`. */
  readonly configPasswordFile?: string | undefined;
  readonly env: Environment;
  readonly cwd?: string;
}

export interface FoundPassword {
  readonly password: string;
  /** Where it came from, in words. */
  readonly origin: string;
  readonly warnings: readonly string[];
}

/**
 * The password that encrypts credentials in the configuration: what was typed, else the file of the flag, else the variable, else the file that a
 * variable names.
 * @throws ConfigError when a file is named that holds none
 */
export function findConfigPassword(options: PasswordOptions): FoundPassword | undefined {
  const { configPassword, configPasswordFile, env } = options;
  if (configPassword !== undefined) return { password: configPassword, origin: 'what was typed', warnings: [] };
  if (configPasswordFile !== undefined) return fromFile(configPasswordFile, '--config-password-file', options);
  const password = variable(env, PASSWORD_VARIABLE);
  if (password !== undefined) return { password, origin: PASSWORD_VARIABLE, warnings: [] };
  const file = variable(env, FILE_VARIABLE);
  return file === undefined ? undefined : fromFile(file, FILE_VARIABLE, options);
}

function fromFile(path: string, named: string, { cwd = process.cwd() }: PasswordOptions): FoundPassword {
  const file = pathFrom(cwd, path);
  const read = readText(file);
  if ('failure' in read || firstLine(read.text) === '') {
    const why = 'failure' in read ? `cannot be read: ${read.failure}` : 'holds no password in its first line';
    throw new ConfigError(`${named}: ${file} ${why}`, {
      hint: 'Correct the path, or write the password of the configuration into that file (chmod 0600).',
    });
  }
  const warnings = openToOthers(file) ? [`${named}: others may read ${file} (chmod 0600 "${file}")`] : [];
  return { password: firstLine(read.text), origin: `${named} (${file})`, warnings };
}
