import { dirname } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import { secretsOf } from '../config/secrets.ts';
import { Hook } from '../postgres/hooks.ts';
import { PgBouncer } from '../postgres/pgbouncer.ts';
import type { Traffic } from '../postgres/traffic.ts';

/** Hooks and PgBouncers of a configuration, with their secrets inside. Hooks run in the folder of the file. */
export function trafficOf({ config, file }: Pick<LoadedConfig, 'config' | 'file'>): Traffic {
  const secrets = secretsOf(config);
  const folder = file === undefined ? process.cwd() : dirname(file);
  return {
    hooks: config.cutover.hooks.map(
      ({ at, command, environment, timeout, retries }) =>
        new Hook({ at, command, environment, timeoutMs: timeout, retries, folder, secrets }),
    ),
    pgbouncers: config.cutover.pgbouncer.map(
      ({ host, port, user, password, file: ini, databases, target, pauseTimeout }) =>
        new PgBouncer({
          address: { host, port, user, password, connectTimeoutMs: CONNECT_MS },
          file: ini,
          databases,
          target,
          pauseTimeoutMs: pauseTimeout,
        }),
    ),
  };
}

/** A console is near, and clients wait. */
const CONNECT_MS = 5_000;
