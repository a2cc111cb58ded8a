import type { Database } from './database.ts';
import { sql } from './sql.ts';

/** What makes a server write statements or their parameters into its log, and the value that keeps it from doing so. */
const SILENT = {
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_min_error_statement: 'panic',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
};

/**
 * Runs what holds a secret (a password or its hash) while the server's log leaves this session's statements out.
 * @see https://www.postgresql.org/docs/current/runtime-config-logging.html
 */
export async function withoutStatementLog<T>(database: Database, body: () => Promise<T>): Promise<T> {
  const settings = JSON.stringify(SILENT);
  // Not every version has all of them.
  await database.run(
    sql`select set_config(s.name, wanted.value, false)
          from json_each_text(${settings}::json) wanted join pg_settings s on s.name = wanted.key`,
  );
  try {
    return await body();
  } finally {
    await database
      .run(
        sql`select set_config(s.name, s.reset_val, false)
              from json_each_text(${settings}::json) wanted join pg_settings s on s.name = wanted.key`,
      )
      .catch(() => {
        // The session is gone or was cancelled; either way nobody uses it again.
      });
  }
}
