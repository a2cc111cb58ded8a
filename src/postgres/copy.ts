import { pipeline } from 'node:stream/promises';
import { from as copyIn, to as copyOut } from 'pg-copy-streams';
import type { Database } from './database.ts';
import { toPgconvoyError } from './errors.ts';
import type { Sql } from './sql.ts';

/**
 * Streams what `out` (COPY … TO STDOUT) reads in the session of one database into `into` (COPY … FROM STDIN) in that of another.
 * `onBytes` hears of each piece. Returns the rows.
 * @see https://www.postgresql.org/docs/current/sql-copy.html
 * @throws DatabaseError, UnreachableError of the side that failed first
 */
export async function copyRows(
  { from, out }: { readonly from: Database; readonly out: Sql },
  { to, into }: { readonly to: Database; readonly into: Sql },
  onBytes: (bytes: number) => void,
): Promise<number> {
  return from.exclusively((source) =>
    to.exclusively(async (target) => {
      const reading = source.query(copyOut(out.text));
      const writing = target.query(copyIn(into.text));
      let failed: Database | undefined;
      reading.once('error', () => (failed ??= from));
      writing.once('error', () => (failed ??= to));
      reading.on('data', (chunk: Buffer) => onBytes(chunk.length));
      try {
        await pipeline(reading, writing);
        return writing.rowCount;
      } catch (error) {
        const { side, name } = failed ?? to;
        throw toPgconvoyError(error, { server: side, database: name });
      }
    }),
  );
}
