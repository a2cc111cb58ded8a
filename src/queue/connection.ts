import { connectRedis } from './redis-connection.ts';
import { RedisStore } from './redis-store.ts';
import type { Identify, Profile, QueueConfig, Store } from './store.ts';

/**
 * Connects to the queue's server.
 * @param identify says what the server must not be; without it, that is not asked
 * @throws ConfigError when the address is not one, or the server cannot be the queue's; UnreachableError when it is down or refuses us.
 */
export async function connect(config: QueueConfig, profile: Profile, identify?: Identify): Promise<Store> {
  if (config.server) {
    // Who has Redis needs none of it.
    const { openPostgres } = await import('./postgres-store.ts');
    return openPostgres(config.server, config.prefix, profile, identify);
  }
  return new RedisStore(await connectRedis(config, profile));
}
