import type { Database } from './database.ts';
import { DatabaseError } from './errors.ts';
import { lit, sql } from './sql.ts';

/** What would show the text of a statement in a log or a view, and what silences it; only what the server knows is set. */
const SILENCE: Readonly<Record<string, string>> = {
  track_activities: 'off',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_min_error_statement: 'panic',
  // pglogical puts connection strings into the details of its errors.
  log_error_verbosity: 'terse',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  'pg_stat_statements.track': 'none',
  'pgaudit.log': 'none',
};

const silence = sql`
  select set_config(name, wanted.setting, true)
    from json_each_text(${lit(JSON.stringify(SILENCE))}::json) as wanted (key, setting)
    join pg_settings on name = key`;

/**
 * Runs statements that hold secrets as text (DDL takes no parameters) in one transaction that the server neither logs nor
 * shows in pg_stat_activity and pg_stat_statements. An error never repeats one of `secrets`. For superusers.
 * @see https://www.postgresql.org/docs/current/runtime-config-logging.html
 */
export async function inSecrecy<T>(database: Database, secrets: readonly string[], body: () => Promise<T>): Promise<T> {
  try {
    return await database.transaction(async () => {
      await database.run(silence);
      return await body();
    });
  } catch (error) {
    throw withoutSecrets(error, secrets);
  }
}

function withoutSecrets(error: unknown, secrets: readonly string[]): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const clean = (text: string) =>
    secrets.filter((secret) => secret !== '').reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
  const { disposition, sqlstate } = error;
  // The cause is left behind: it repeats the message.
  return new DatabaseError(clean(error.message), { hint: clean(error.hint), disposition, sqlstate });
}
