import { findConfigPassword, WAYS_TO_GIVE } from '../../config/config-password.ts';
import { ConfigError } from '../../errors.ts';
import type { Globals } from '../command.ts';
import { notEmpty } from '../config-password.ts';
import type { Prompts } from '../render/prompts.ts';
import type { Terminal } from '../render/terminal.ts';

/**
 * The password that a variable or a file holds; where there is none, a person is asked.
 * @throws ConfigError when nobody is there
 */
export async function passwordFor(
  terminal: Terminal,
  globals: Globals,
  ask: (prompts: Prompts) => Promise<string>,
  prompts: Prompts | undefined,
): Promise<string> {
  const found = findConfigPassword({ configPasswordFile: globals.configPasswordFile, env: process.env });
  if (found) {
    for (const warning of found.warnings) terminal.note(`! ${warning}`);
    terminal.note(`the password of the configuration is taken from ${found.origin}`);
    return found.password;
  }
  if (prompts) return ask(prompts);
  throw new ConfigError('no password to encrypt or decrypt with was given', { hint: WAYS_TO_GIVE });
}

/** A new one, typed twice. */
export async function newPassword(prompts: Prompts): Promise<string> {
  const password = await prompts.secret('Password of the configuration', notEmpty);
  await prompts.secret('The same again', (answer) => (answer === password ? undefined : 'this is another one'));
  return password;
}

export const oldPassword = (prompts: Prompts): Promise<string> =>
  prompts.secret('Password of the configuration', notEmpty);
