/**
 * npm test [-- vitest's arguments]
 * Gets the servers, then runs vitest. Where only the unit tests are asked for, no server is needed.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { setUpKit } from './kit/setup.ts';

const root = join(import.meta.dirname, '..');
const vitestArguments = process.argv.slice(2);

try {
  if (needsServers(vitestArguments)) await setUpKit('test');
  process.exitCode = await runVitest(vitestArguments);
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

function needsServers(args: readonly string[]): boolean {
  const { values } = parseArgs({
    args,
    strict: false,
    options: { project: { type: 'string', multiple: true } },
  });
  const projects = values.project ?? [];
  return projects.length === 0 || projects.some((project) => project !== 'unit');
}

async function runVitest(args: readonly string[]): Promise<number> {
  // Ctrl-C reaches vitest by itself: we wait until it has stopped the servers.
  process.on('SIGINT', () => {});
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const result = await execa(process.execPath, [vitest, 'run', ...args], {
    cwd: root,
    stdio: 'inherit',
    reject: false,
  });
  return result.exitCode ?? 1;
}
