import { Cluster, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { ConfigError, UnreachableError, withoutSecrets } from '../errors.ts';
import type { PgconvoyError } from '../errors.ts';
import { inTime } from './store.ts';
import type { Profile, QueueConfig, QueueWarning } from './store.ts';

type Client = Redis | Cluster;

export interface RedisConnection {
  readonly redis: Client;
  /** With braces: in a Redis Cluster all our keys live in one slot, without which the scripts of BullMQ cannot run. */
  readonly prefix: string;
  /** Without user and password, for messages. */
  readonly address: string;
}

interface Address {
  readonly shown: string;
  /** How to log in; in a Cluster and with Sentinel the same for all nodes. */
  readonly login: Pick<RedisOptions, 'username' | 'password' | 'db' | 'tls'>;
  readonly place: Pick<RedisOptions, 'host' | 'port' | 'path'>;
}

/**
 * Connects to Redis or Valkey, standalone (`redis://`, `rediss://`, `unix:///path`), by Sentinel, or to a Cluster.
 * @throws ConfigError when the address is not one; UnreachableError when the queue is down or refuses us.
 */
export async function connectRedis(config: QueueConfig, profile: Profile): Promise<RedisConnection> {
  const address = addressOf(config);
  const state = { connected: false };
  const redis = clientOf(config, address, profile, state);
  let last: unknown;
  redis.on('error', (error) => {
    last = error;
  });
  try {
    await inTime(redis.connect(), 5_000);
    state.connected = true;
    await inTime(redis.ping(), 5_000);
  } catch (error) {
    redis.disconnect();
    throw unreachable(address.shown, last ?? error);
  }
  return { redis, prefix: `{${config.prefix}}`, address: address.shown };
}

function clientOf(config: QueueConfig, address: Address, profile: Profile, state: { connected: boolean }): Client {
  const retryStrategy = (times: number): number | null => (state.connected ? Math.min(times * 200, 2_000) : null);
  const command = profile === 'command';
  const common = {
    ...address.login,
    lazyConnect: true,
    connectTimeout: command ? 2_000 : 10_000,
    maxRetriesPerRequest: command ? 1 : null,
    ...(command ? { commandTimeout: 10_000 } : {}),
  };
  if (config.clusterNodes) {
    return new Cluster([...config.clusterNodes], {
      lazyConnect: true,
      redisOptions: common,
      clusterRetryStrategy: retryStrategy,
      // With TLS the certificate names the host, not its address.
      ...(common.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
    });
  }
  if (config.sentinels) {
    const sentinel = { sentinels: [...config.sentinels], name: config.sentinelName ?? 'mymaster' };
    return new Redis({ ...common, ...sentinel, retryStrategy, sentinelRetryStrategy: retryStrategy });
  }
  return new Redis({ ...common, ...address.place, retryStrategy });
}

function addressOf(config: QueueConfig): Address {
  const base = config.url === undefined ? undefined : parseUrl(config.url);
  const login = { ...base?.login, ...(config.password === undefined ? {} : { password: config.password }) };
  const list = (nodes: readonly { host: string; port: number }[]) =>
    nodes.map((node) => `${node.host}:${node.port}`).join(', ');
  if (config.clusterNodes) return { shown: `Redis Cluster ${list(config.clusterNodes)}`, login, place: {} };
  if (config.sentinels) return { shown: `Sentinel ${list(config.sentinels)}`, login, place: {} };
  if (!base) {
    throw new ConfigError('There is no address of a queue.', {
      hint: 'Set queue.url in the configuration, or pass --queue redis://HOST:PORT.',
    });
  }
  return { ...base, login };
}

/** The text of the URL never goes into a message: it may hold the password. */
function parseUrl(text: string): Address {
  const wrong = () =>
    new ConfigError('queue.url is not an address of a Redis server.', {
      hint: 'Write redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH/OF/SOCKET; special characters of a password percent-encoded.',
    });
  if (text.startsWith('/')) return { shown: `unix://${text}`, login: {}, place: { path: text } };
  if (!URL.canParse(text)) throw wrong();
  const url = new URL(text);
  const user = {
    ...(url.username ? { username: decode(url.username, wrong) } : {}),
    ...(url.password ? { password: decode(url.password, wrong) } : {}),
  };
  if (url.protocol === 'unix:') {
    return { shown: `unix://${url.pathname}`, login: user, place: { path: decode(url.pathname, wrong) } };
  }
  const db = url.pathname.replace(/^\//, '');
  if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '' || !/^\d*$/.test(db)) throw wrong();
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = url.port === '' ? 6_379 : Number(url.port);
  return {
    shown: `${url.protocol}//${url.hostname}:${port}${db === '' ? '' : `/${db}`}`,
    place: { host, port },
    login: {
      ...user,
      ...(db === '' ? {} : { db: Number(db) }),
      ...(url.protocol === 'rediss:' ? { tls: { servername: host } } : {}),
    },
  };
}

function decode(text: string, wrong: () => Error): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong();
  }
}

/** The one text for what the way to Redis throws; undefined when it is about what was asked of it. */
export const explainRedis = (address: string, error: unknown): PgconvoyError | undefined =>
  isConnectionError(error) ? unreachable(address, error) : undefined;

function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const text = `${error.name} ${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}`;
  return (
    /MaxRetriesPerRequest|Connection is closed|Stream isn't writeable|timed out|ECONN|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|ENOENT|EACCES|ClusterAllFailed|sentinels? (are|is) unreachable/i.test(
      text,
    ) || isRefusal(text)
  );
}
const isRefusal = (text: string): boolean =>
  /NOAUTH|WRONGPASS|NOPERM|invalid (username-)?password|ERR AUTH/i.test(text);

/** The one text for a queue that is down. */
function unreachable(address: string, error: unknown): PgconvoyError {
  const cause = reasonOf(error);
  if (isRefusal(cause)) {
    return new UnreachableError(`The queue at ${address} refused us: ${cause}`, {
      hint: 'Correct user and password in queue.url, or the file that queue.passwordFile names.',
      disposition: 'give-up',
    });
  }
  if (/certificate|self-signed|altnames/i.test(cause)) {
    return new UnreachableError(`The queue at ${address} is not trusted: ${cause}`, {
      hint: 'Name the file of the authority that has signed its certificate in the variable NODE_EXTRA_CA_CERTS, and in queue.url the host for which it is made out.',
    });
  }
  return new UnreachableError(`The queue at ${address} cannot be reached: ${cause}`, {
    hint: 'Start the Redis server there, or correct queue.url in the configuration (or --queue). Runs are not lost: they go on when it is back.',
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return withoutSecrets(String(error));
  const deeper = (error as { lastNodeError?: Error }).lastNodeError;
  const first = error instanceof AggregateError ? error.errors[0] : undefined;
  if (deeper ?? first) return reasonOf(deeper ?? first);
  return withoutSecrets(error.message || error.name);
}

/** What about the server can lose runs: eviction, no AOF, a version BullMQ does not support well. */
export async function warningsOfRedis({ redis, address }: RedisConnection): Promise<readonly QueueWarning[]> {
  const sections = await Promise.all(['server', 'memory', 'persistence'].map((section) => redis.info(section)));
  const info = new Map(
    sections
      .join('\n')
      .split(/\r?\n/)
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  );
  const warnings: QueueWarning[] = [];
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction') {
    warnings.push({
      message: `The queue at ${address} has maxmemory-policy ${policy}: when its memory is full it throws jobs away.`,
      remedy: 'redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf (no restart needed).',
    });
  }
  if (info.get('aof_enabled') === '0') {
    warnings.push({
      message: `The queue at ${address} has appendonly no: after a crash of Redis the run is gone.`,
      remedy: 'redis-cli CONFIG SET appendonly yes, and the same in redis.conf (no restart needed).',
    });
  }
  const version = info.get('redis_version') ?? '';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (version !== '' && (major < 6 || (major === 6 && minor < 2))) {
    warnings.push({
      message: `The queue at ${address} is Redis ${version}; 6.2 or later is needed.`,
      remedy: 'Use Redis 6.2 or later, or Valkey.',
    });
  }
  return warnings;
}
