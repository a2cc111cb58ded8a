import type pg from 'pg';

/**
 * Ends a session at once, whatever it is doing: `end()` waits for a peer that may have vanished, and a `connect()` that is
 * still going on never settles after it.
 * @see https://github.com/brianc/node-postgres/blob/master/packages/pg/lib/client.js
 */
export function cutOff(client: pg.Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
