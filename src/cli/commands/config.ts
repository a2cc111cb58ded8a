import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { holdsCredentials } from '../../config/seal.ts';
import { exists } from '../../config/write-file.ts';
import { ConfigError, ExitCode } from '../../errors.ts';
import { action, command } from '../command.ts';
import type { Invocation } from '../command.ts';
import { givenBy } from '../config/given.ts';
import type { Given } from '../config/given.ts';
import { askConfig } from '../config/guide.ts';
import { newPassword, passwordFor } from '../config/passwords.ts';
import { recodeFile } from '../config/recode.ts';
import { saveConfig } from '../config/save.ts';
import { tryQueue, tryServer, tryTogether } from '../config/try-out.ts';
import { LeftBySignal } from '../leave.ts';
import { Prompts } from '../render/prompts.ts';

interface ConfigOptions {
  readonly force?: boolean;
  readonly nonInteractive?: boolean;
  readonly encrypt?: boolean;
  readonly decrypt?: boolean;
}

type ConfigInvocation = Invocation<ConfigOptions>;

export const config = (): Command =>
  command({
    name: 'config',
    summary: 'write pgconvoy.yaml: asks, and tries each connection',
    description:
      'Asks where both clusters and the queue are, tries each connection, and writes a commented configuration that only you can read. ' +
      'Can encrypt its credentials with a password. In scripts: --non-interactive, with --source, --target and --queue.',
    examples: [
      ['pgconvoy config', 'questions and answers, writes ./pgconvoy.yaml'],
      ['pgconvoy config --encrypt', 'encrypts the credentials of a file that is there'],
      ['pgconvoy config --non-interactive --source URL --target URL', 'in scripts'],
    ],
  })
    .option('-f, --force', 'replace a file that is there')
    .option('--non-interactive', 'ask nothing: --source and --target say it all')
    .option('--encrypt', 'encrypt credentials: of a new file, or in place of the one that is there')
    .option('--decrypt', 'write encrypted values of the file in plain again')
    .action(action<ConfigOptions>(async (invocation) => run(invocation)));

async function run(invocation: ConfigInvocation): Promise<ExitCode> {
  const { terminal, globals, options } = invocation;
  const file = resolve(globals.config ?? (process.env['PGCONVOY_CONFIG'] || 'pgconvoy.yaml'));
  const given = givenBy(globals);
  if (options.encrypt && options.decrypt) {
    throw new ConfigError('--encrypt and --decrypt are opposites', { hint: 'Give one of them.' });
  }
  if (options.decrypt) return recodeFile(invocation, file, 'decrypt');
  const rewrites = given.source ?? given.target ?? options.force;
  if (options.encrypt && existsSync(file) && rewrites === undefined) return recodeFile(invocation, file, 'encrypt');
  if (options.nonInteractive) return fromFlags(invocation, file, given);
  if (!terminal.canPrompt) {
    throw new ConfigError('pgconvoy config asks questions, and nobody is here to answer', {
      hint: 'Run it on a terminal, or: pgconvoy config --non-interactive --source postgres://… --target postgres://… [--queue redis://…] [--encrypt]',
    });
  }
  return guided(invocation, file, given);
}

async function guided(invocation: ConfigInvocation, named: string, given: Given): Promise<ExitCode> {
  const { terminal, globals, options } = invocation;
  const prompts = new Prompts(terminal);
  prompts.begin('A configuration for pgconvoy');
  try {
    const { file, replace } = await askFile(prompts, named, options.force === true);
    const answered = await askConfig(prompts, given, { env: process.env, folder: dirname(file) });
    const encrypt = holdsCredentials(answered.config) && (options.encrypt === true || (await wantsToEncrypt(prompts)));
    const password = encrypt ? await passwordFor(terminal, globals, newPassword, prompts) : undefined;
    prompts.end('That is all.');
    saveConfig(invocation, answered, { file, replace, password, warnings: [] });
    return ExitCode.ok;
  } catch (error) {
    if (error instanceof LeftBySignal) prompts.end('Left; nothing was written.');
    throw error;
  }
}

const wantsToEncrypt = (prompts: Prompts): Promise<boolean> =>
  prompts.confirm('Encrypt the passwords in the file with a password of its own?', true);

async function askFile(prompts: Prompts, named: string, force: boolean): Promise<{ file: string; replace: boolean }> {
  for (;;) {
    const file = resolve(await prompts.text({ message: 'File', initial: named }));
    if (!existsSync(file)) return { file, replace: false };
    if (force || (await prompts.confirm(`${file} is there already. Replace it?`, false)))
      return { file, replace: true };
  }
}

async function fromFlags(invocation: ConfigInvocation, file: string, given: Given): Promise<ExitCode> {
  const { terminal, globals, options } = invocation;
  const { source: from, target: to, queue: queued, others } = given;
  if (!from || !to) {
    throw new ConfigError(`--non-interactive needs to be told where the ${from ? 'target' : 'source'} is`, {
      hint: 'Give --source postgres://user:password@host:5432/postgres and --target likewise, and --queue redis://… unless a private redis-server shall do.',
    });
  }
  const replace = options.force === true;
  if (!replace && existsSync(file)) throw exists(file);
  const password = options.encrypt ? await passwordFor(terminal, globals, newPassword, undefined) : undefined;
  const place = { env: process.env, folder: dirname(file) };
  const [source, target] = await Promise.all([tryServer('source', from, place), tryServer('target', to, place)]);
  const written = {
    source: source.input,
    target: target.input,
    ...(queued ? { queue: queued } : {}),
    ...others,
  };
  const warnings = await tryTogether(written, place);
  const queue = await tryQueue(written, place);
  for (const warning of [...warnings, ...queue.warnings]) terminal.note(`! ${warning}`);
  saveConfig(invocation, { config: written, source, target, queue }, { file, replace, password, warnings });
  return ExitCode.ok;
}
