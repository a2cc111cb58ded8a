import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type { Logger } from 'pino';

/**
 * The one way to get a logger. JSON lines on stderr; fixed keys `run, workflow, step, database, attempt` are bound by
 * whoever knows them. Keys that could hold a secret are removed wherever they stand.
 * @see https://getpino.io/#/docs/redaction
 */
export function createLogger(level: string, destination: DestinationStream = process.stderr): Logger {
  const secrets = ['password', 'passwordFile', 'conninfo', 'url', 'secret', 'token'];
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), remove: true },
    },
    destination,
  );
}
