import * as z from 'zod';
import { fragment, lit, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const LogHabits = z.object({
  /** The server itself writes files; else its log goes where whoever started it has sent it. */
  collects: z.boolean(),
  /** Of stderr, csvlog, jsonlog, syslog, eventlog, separated by commas. */
  destination: z.string(),
  /** What each line of `stderr` begins with. */
  prefix: z.string(),
});
export type LogHabits = z.output<typeof LogHabits>;

/** @see https://www.postgresql.org/docs/current/runtime-config-logging.html */
export const logHabits = (): Sql => sql`
  select current_setting('logging_collector') = 'on' as collects, current_setting('log_destination') as destination,
         current_setting('log_line_prefix') as prefix`;

export const LogEnd = z.object({
  /** Null where there is no such file, and before 10. */
  path: z.string().nullable(),
  /** The last bytes of it, in base64. */
  bytes: z.string().nullable(),
});
export type LogEnd = z.output<typeof LogEnd>;

/**
 * The end of the file that the server writes in this format, so many bytes of it at most.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-GENFILE
 */
export const logEnd = (format: string, most: number): Sql => sql`
  select f.path, encode(pg_read_binary_file(f.path, greatest(0, s.size - ${most}::int8), ${most}::int8), 'base64') as bytes
    from (select ${since('currentLogFile', fragment`pg_current_logfile(${lit(format)})`, fragment`null::text`)} as path) f
    left join lateral pg_stat_file(f.path) s on true`;
