/**
 * node scripts/bootstrap.mjs SCRIPT.ts [ARGUMENT...]
 * What `npm test`, `npm run demo` and the like call first, so that they work on a fresh clone with nothing run before:
 * installs the dependencies where they are missing or older than package-lock.json, then runs the TypeScript script.
 * Plain JavaScript without dependencies, since it runs before there are any.
 */
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const neededNode = [20, 19];

/** npm hands its own settings down to what it runs; these would make the inner `npm ci` do something else, or elsewhere. */
const harmfulSettings = ['prefix', 'global', 'location', 'dry_run', 'omit', 'only', 'production', 'package_lock_only'];

const [script, ...scriptArguments] = process.argv.slice(2);
checkNode();
if (!script) stop('Say which script to run: node scripts/bootstrap.mjs SCRIPT.ts [ARGUMENT...]');
if (!dependenciesAreFresh()) await installDependencies();
process.exitCode = await follow(process.execPath, ['--import', tsx(), resolve(root, script), ...scriptArguments]);

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > neededNode[0] || (major === neededNode[0] && minor >= neededNode[1])) return;
  stop(
    `pgconvoy needs Node ${neededNode.join('.')} or later, and this is ${process.versions.node}: install a newer one.`,
  );
}

function dependenciesAreFresh() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  const wanted = join(root, 'package-lock.json');
  if (!existsSync(installed)) return false;
  // `npm install` writes both within the same moment, in either order.
  return !existsSync(wanted) || statSync(wanted).mtimeMs <= statSync(installed).mtimeMs + 5_000;
}

async function installDependencies() {
  console.error('pgconvoy: the dependencies are missing or out of date: running npm ci');
  const env = { ...process.env };
  for (const name of harmfulSettings) delete env[`npm_config_${name}`];
  const npm = process.env.npm_execpath ?? '';
  // The npm that runs us, when it is npm: it need not be on the PATH.
  const command = basename(npm).startsWith('npm-cli') ? [process.execPath, npm] : ['npm'];
  const install = ['ci', '--include=dev', '--no-audit', '--no-fund'];
  const code = await follow(command[0], [...command.slice(1), ...install], { cwd: root, env });
  if (code !== 0)
    stop('npm ci failed (its reason is above): put that right, or run npm ci by hand, and try again.', code);
}

/** tsx as a loader of this Node: one process less than its command, and signals go straight to the script. */
function tsx() {
  return pathToFileURL(createRequire(join(root, 'package.json')).resolve('tsx')).href;
}

/** Runs a program in our place, as far as its output, its signals and its exit code go. */
function follow(program, programArguments, options = {}) {
  return new Promise((done) => {
    const child = spawn(program, programArguments, { stdio: 'inherit', ...options });
    // Ctrl-C reaches the child by itself: we only wait for it to clean up.
    const ignore = () => {};
    const forward = (signal) => child.kill(signal);
    process.on('SIGINT', ignore);
    process.on('SIGTERM', forward);
    const end = (code) => {
      process.off('SIGINT', ignore);
      process.off('SIGTERM', forward);
      done(code);
    };
    child.once('error', (error) => stop(`${program} could not be started: ${error.message}`));
    child.once('exit', (code) => end(code ?? 1));
  });
}

function stop(message, code = 1) {
  console.error(message);
  process.exit(code);
}
