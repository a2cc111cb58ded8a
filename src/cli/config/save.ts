import { resolve } from 'node:path';
import { composeConfig } from '../../config/compose.ts';
import { ValueCipher } from '../../config/encryption.ts';
import { sealInput } from '../../config/seal.ts';
import { writeConfig } from '../../config/write-file.ts';
import type { ConfigInput } from '../../config/schema.ts';
import type { Invocation } from '../command.ts';
import { configDocument, renderWritten } from '../render/config.ts';
import type { WrittenConfig } from '../render/config.ts';
import type { Answered } from './guide.ts';

interface Saving {
  readonly file: string;
  readonly replace: boolean;
  /** Undefined: credentials stay in plain. */
  readonly password: string | undefined;
  readonly warnings: readonly string[];
}

/**
 * Writes what was asked for or given, and says so.
 * @throws ConfigError
 */
export function saveConfig(
  { terminal }: Pick<Invocation, 'terminal'>,
  { config, source, target, queue }: Answered,
  { file, replace, password, warnings }: Saving,
): void {
  const sealed: ConfigInput = password === undefined ? config : sealInput(config, new ValueCipher(password));
  writeConfig(file, composeConfig(sealed), { replace });
  const usual = file === resolve('pgconvoy.yaml');
  const written: WrittenConfig = { file, usual, encrypted: password !== undefined, source, target, queue, warnings };
  terminal.print(renderWritten(written, terminal.style));
  terminal.document(configDocument(written));
}
