import { connectRedis } from './redis-connection.ts';
import { RedisStore } from './redis-store.ts';
import type { Profile, QueueConfig, Store } from './store.ts';

/**
 * Connects to the queue's server.
 * @throws ConfigError when the address is not one; UnreachableError when the queue is down or refuses us.
 */
export async function connect(config: QueueConfig, profile: Profile): Promise<Store> {
  return new RedisStore(await connectRedis(config, profile));
}
