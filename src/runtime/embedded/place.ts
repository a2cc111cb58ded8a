import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../../config/environment.ts';
import type { LoadedConfig } from '../../config/load.ts';
import { ConfigError } from '../../errors.ts';

/** Where the private redis-server and worker of one upgrade (one source, one target) live on this machine. */
export interface Place {
  /** Mode 0700: data of Redis, logs, who is running. */
  readonly folder: string;
  readonly socket: string;
}

/** A path of a unix socket holds 107 bytes on Linux, 103 elsewhere. */
const SOCKET_MOST = 103;

/**
 * Finds and makes the folder: `state` of the configuration, else $XDG_STATE_HOME/pgconvoy, else ~/.local/state/pgconvoy. Each pair of
 * clusters has its own, so that two upgrades do not mix.
 * @throws ConfigError when it cannot be made or is not ours.
 */
export function placeOf({ config, addresses }: Pick<LoadedConfig, 'config' | 'addresses'>, env: Environment): Place {
  const home = env['HOME'] || homedir();
  const base = config.state ?? join(env['XDG_STATE_HOME'] || join(home, '.local', 'state'), 'pgconvoy');
  const identity = [addresses.source, addresses.target].map(({ host, port }) => `${host}:${port}`).join(' ');
  const hash = createHash('sha256').update(identity).digest('hex').slice(0, 16);
  const folder = join(base, hash);
  try {
    mkdirSync(base, { recursive: true, mode: 0o700 });
    makePrivate(folder);
    makePrivate(join(folder, 'users'));
    return { folder, socket: socketIn(folder, hash) };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`the state folder ${folder} cannot be made: ${(error as Error).message}`, {
      hint: 'Set state in the configuration to a folder of yours, or configure a queue (queue.url or --queue).',
      cause: error,
    });
  }
}

function socketIn(folder: string, hash: string): string {
  const usual = join(folder, 'redis.sock');
  if (Buffer.byteLength(usual) <= SOCKET_MOST) return usual;
  const name = `pgconvoy-${createHash('sha256').update(folder).digest('hex').slice(0, 8)}${hash.slice(0, 8)}`;
  const short = [tmpdir(), '/tmp']
    .map((base) => join(base, name))
    .find((path) => Buffer.byteLength(path) <= SOCKET_MOST - 12);
  const elsewhere = short ?? join('/tmp', name);
  makePrivate(elsewhere);
  return join(elsewhere, 'redis.sock');
}

/** A folder that others can look into, or that is somebody else's, is refused: Redis has no password here. */
function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  const mine = process.getuid === undefined || found.uid === process.getuid();
  if (found.isDirectory() && mine && (found.mode & 0o077) === 0) return;
  throw new ConfigError(`the state folder ${folder} is open to others, or not ours`, {
    hint: `Make it private (chmod 0700 "${folder}"), or set state in the configuration to another folder.`,
  });
}
