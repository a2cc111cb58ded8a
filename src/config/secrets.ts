import type { Config } from './schema.ts';

/** Every secret that a configuration holds: none of these may appear in Redis, logs, error texts or job data. */
export function secretsOf(config: Config): string[] {
  const { url } = config.queue;
  const ofUrl = url !== undefined && URL.canParse(url) ? new URL(url).password : '';
  const secrets = [
    config.source.password,
    config.target.password,
    config.queue.password,
    ofUrl,
    decoded(ofUrl),
    config.board.password,
    config.board.token,
    ...config.cutover.pgbouncer.map(({ password }) => password),
    ...config.notifications.webhooks.flatMap(({ url: address, headers }) => [address, ...Object.values(headers)]),
    ...config.cutover.hooks.flatMap(({ environment }) => Object.values(environment)),
  ];
  return [...new Set(secrets.filter((secret): secret is string => secret !== undefined && secret !== ''))];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
