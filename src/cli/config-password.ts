import { loadConfig } from '../config/load.ts';
import type { LoadedConfig, LoadOptions } from '../config/load.ts';
import { PasswordNeeded } from '../config/decrypt.ts';
import type { Terminal } from './render/terminal.ts';

/**
 * Reads the configuration; where it is encrypted and nothing says with which password, a person on a terminal is asked.
 * @throws ConfigError
 */
export async function openConfig(terminal: Terminal, options: LoadOptions): Promise<LoadedConfig> {
  try {
    return loadConfig(options);
  } catch (error) {
    if (!(error instanceof PasswordNeeded) || !terminal.canPrompt) throw error;
    // Seldom needed, and large.
    const { Prompts } = await import('./render/prompts.ts');
    const configPassword = await new Prompts(terminal).secret('Password of the configuration', notEmpty);
    return loadConfig({ ...options, configPassword });
  }
}

export const notEmpty = (answer: string): string | undefined => (answer === '' ? 'something must be typed' : undefined);
