import { readText } from '../../config/environment.ts';
import { isEncrypted, ValueCipher } from '../../config/encryption.ts';
import { sealText, unsealText } from '../../config/seal.ts';
import { writeConfig } from '../../config/write-file.ts';
import { ConfigError, ExitCode } from '../../errors.ts';
import type { Invocation } from '../command.ts';
import { Prompts } from '../render/prompts.ts';
import { newPassword, oldPassword, passwordFor } from './passwords.ts';

/** Encrypts or decrypts the credentials of a file that is there, in place. */
export async function recodeFile(
  { terminal, globals }: Pick<Invocation, 'terminal' | 'globals'>,
  file: string,
  way: 'encrypt' | 'decrypt',
): Promise<ExitCode> {
  const read = readText(file);
  if ('failure' in read) {
    throw new ConfigError(`${file} cannot be read: ${read.failure}`, { hint: 'Name the configuration by --config.' });
  }
  const isNew = way === 'encrypt' && !read.text.split(/[\s"',{}]+/).some(isEncrypted);
  const prompts = terminal.canPrompt ? new Prompts(terminal) : undefined;
  const cipher = new ValueCipher(await passwordFor(terminal, globals, isNew ? newPassword : oldPassword, prompts));
  const { text, changed } = (way === 'encrypt' ? sealText : unsealText)(file, read.text, cipher);
  if (changed.length > 0) writeConfig(file, text, { replace: true });
  const done = `${way}ed in ${file}`;
  terminal.print(changed.length === 0 ? `Nothing was to be ${done}.` : `Now ${done}: ${changed.join(', ')}`);
  terminal.document({ ok: true, file, [`${way}ed`]: changed });
  return ExitCode.ok;
}
