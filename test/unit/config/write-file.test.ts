import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeConfig } from '../../../src/config/write-file.ts';
import { ConfigError } from '../../../src/errors.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-write-'));
  file = join(folder, 'pgconvoy.yaml');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string) => statSync(path).mode & 0o777;

test('a new file is for its owner alone, and nothing else is left', () => {
  writeConfig(file, 'a', { replace: false });
  expect([readFileSync(file, 'utf8'), modeOf(file), readdirSync(folder)]).toEqual(['a', 0o600, ['pgconvoy.yaml']]);
});

test('a file that is there stays, unless it shall be replaced', () => {
  writeFileSync(file, 'mine');
  chmodSync(file, 0o644);
  expect(() => writeConfig(file, 'a', { replace: false })).toThrow(`${file} is there already`);
  expect([readFileSync(file, 'utf8'), modeOf(file), readdirSync(folder)]).toEqual(['mine', 0o644, ['pgconvoy.yaml']]);
  writeConfig(file, 'a', { replace: true });
  expect([readFileSync(file, 'utf8'), modeOf(file), readdirSync(folder)]).toEqual(['a', 0o600, ['pgconvoy.yaml']]);
});

test('a link stays one; what it leads to is replaced', () => {
  mkdirSync(join(folder, 'real'));
  const real = join(folder, 'real', 'file.yaml');
  writeFileSync(real, 'mine');
  symlinkSync(real, file);
  writeConfig(file, 'a', { replace: true });
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
  expect([readFileSync(real, 'utf8'), modeOf(real)]).toEqual(['a', 0o600]);
});

test('a file that is replaced keeps its owner', () => {
  // Only root can make it somebody else's.
  const owner = process.getuid!() === 0 ? 65_534 : process.getuid!();
  writeFileSync(file, 'mine');
  chownSync(file, owner, process.getgid!());
  writeConfig(file, 'a', { replace: true });
  expect([statSync(file).uid, modeOf(file)]).toEqual([owner, 0o600]);
});

test('a folder that is not there is named', () => {
  const nowhere = join(folder, 'no', 'pgconvoy.yaml');
  expect(() => writeConfig(nowhere, 'a', { replace: false })).toThrow(ConfigError);
  expect(() => writeConfig(nowhere, 'a', { replace: false })).toThrow(`${nowhere} cannot be written: ENOENT`);
});
