import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const WalPlace = z.object({
  /** The data directory, as the server sees it. */
  folder: z.string(),
  port: z.number(),
  /** When the server was started, seconds since 1970. */
  started: z.number(),
  /** What the server keeps of its WAL in any case, in `unit` (MB, 16MB before 10); null before 9.5. */
  kept: z.coerce.number().nullable(),
  unit: z.string().nullable(),
});
export type WalPlace = z.output<typeof WalPlace>;

/**
 * Where the WAL of this server is, and how to recognise the server there.
 * @see https://www.postgresql.org/docs/current/wal-configuration.html
 */
export const walPlace = (): Sql => sql`
  select current_setting('data_directory') as folder, current_setting('port')::int as port,
         extract(epoch from pg_postmaster_start_time())::float8 as started, s.setting as kept, s.unit
    from (select 1) as always
    left join pg_settings s on s.name = 'max_wal_size'`;
