/**
 * The folder of one run of tests, demo or bench. It holds the servers' data and the pid of every server that was
 * started, so that whoever owns the run can stop all of them by pid and remove everything, however the run ends.
 * What a killed run has left is cleared away by the next one.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const variable = 'PGCONVOY_TEST_RUN';

/** What is known of a process, in a form that a later process with the same pid cannot be mistaken for. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the machine was started. */
  readonly startTime: string;
}

/** Opens a run that this process owns, or returns the one it has opened. Child processes find it in their environment. */
export function openRunFolder(): string {
  const mine = join(baseFolder(), `run-${identityName(identityOf(process.pid))}`);
  if (process.env[variable] === mine) return mine;
  makeReachable(baseFolder());
  sweepDeadRuns();
  makeReachable(mine);
  mkdirSync(join(mine, 'pids'));
  process.env[variable] = mine;
  closeWithProcess(mine);
  return mine;
}

/** The run this process belongs to; without one it opens its own. */
export function runFolder(): string {
  const given = process.env[variable];
  return given && existsSync(given) ? given : openRunFolder();
}

/** Stops every server of a run and removes its folder. Synchronous, since it must work while a process exits. */
export function closeRunFolder(folder: string): void {
  if (!existsSync(folder)) return;
  const pids = join(folder, 'pids');
  const servers = listNames(pids).map(parseIdentityName);
  for (const server of servers) signal(server, readSignal(join(pids, identityName(server))));
  if (!waitUntilGone(servers, 5_000)) {
    for (const server of servers) signal(server, 'SIGKILL');
    waitUntilGone(servers, 5_000);
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** Writes down that this process has to be stopped when the run ends, and the signal that makes it end at once. */
export function recordServer(pid: number, endSignal: NodeJS.Signals): ProcessIdentity {
  const identity = identityOf(pid);
  writeFileSync(recordFile(identity), endSignal);
  return identity;
}

/** Takes a process that has ended from the run's list. */
export function forgetServer(identity: ProcessIdentity): void {
  rmSync(recordFile(identity), { force: true });
}

export function isRunning(identity: ProcessIdentity): boolean {
  return startTimeOf(identity.pid) === identity.startTime;
}

function recordFile(identity: ProcessIdentity): string {
  return join(runFolder(), 'pids', identityName(identity));
}

/** Not TMPDIR: it may be private to root, or too long for the path of a socket (107 bytes). */
function baseFolder(): string {
  return process.env['PGCONVOY_TEST_FOLDER'] || `/tmp/pgconvoy-${process.getuid?.() ?? 0}`;
}

/** The unprivileged user that the servers run as has to get through, whatever the umask. */
function makeReachable(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
}

function sweepDeadRuns(): void {
  for (const name of listNames(baseFolder())) {
    if (!name.startsWith('run-')) continue;
    const owner = parseIdentityName(name.slice('run-'.length));
    if (!isRunning(owner)) closeRunFolder(join(baseFolder(), name));
  }
}

function closeWithProcess(folder: string): void {
  process.once('exit', () => closeRunFolder(folder));
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => {
      closeRunFolder(folder);
      // Whoever else listens (vitest does) ends the process in its own way.
      if (process.listenerCount(name) === 0) process.kill(process.pid, name);
    });
  }
}

function identityName(identity: ProcessIdentity): string {
  return `${identity.pid}-${identity.startTime}`;
}

function parseIdentityName(name: string): ProcessIdentity {
  const [pid = '0', startTime = ''] = name.split('-');
  return { pid: Number(pid), startTime };
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? 'gone' };
}

/** A zombie counts as gone: its parent may be this very process, too busy waiting to reap it. */
function startTimeOf(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** The owner may have been killed before it had written the signal down. */
function readSignal(file: string): NodeJS.Signals {
  return (readFileSync(file, 'utf8') || 'SIGKILL') as NodeJS.Signals;
}

function signal(server: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isRunning(server)) return;
  try {
    process.kill(server.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function waitUntilGone(servers: readonly ProcessIdentity[], timeoutMs: number): boolean {
  const deadline = Date.now() + timeoutMs;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (servers.some(isRunning)) {
    if (Date.now() > deadline) return false;
    Atomics.wait(pause, 0, 0, 20);
  }
  return true;
}

function listNames(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
