import { LogEnd, logEnd, LogHabits, logHabits } from './catalog/server-log.ts';
import type { Database } from './database.ts';
import { DatabaseError } from './errors.ts';
import { logEntries } from './log-entries.ts';
import type { LogEntry, LogFormat } from './log-entries.ts';

/** Where the end of the log cannot be read: why not, and where it is, in a clause. */
export interface Unread {
  readonly unread: string;
}

/** Enough for the last failures of hundreds of workers. */
const MOST_BYTES = 262_144;
/** The easiest to tell apart first. */
const FORMATS: readonly LogFormat[] = ['jsonlog', 'csvlog', 'stderr'];

/**
 * The last messages of a server's log, the newest last, where the server writes files itself and our role may read them (a superuser, or
 * pg_monitor together with pg_read_server_files and what EXECUTE on the functions for files takes).
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-GENFILE
 */
export async function readLogEnd(maintenance: Database): Promise<readonly LogEntry[] | Unread> {
  const { collects, destination, prefix } = await maintenance.one(LogHabits, logHabits());
  if (!collects)
    return {
      unread: `logging_collector is off there: its log is where the service keeps what the server prints, such as journalctl or the file of pg_ctl -l`,
    };
  const format = FORMATS.find((one) => destination.includes(one));
  if (!format) return { unread: `its log goes to ${destination}` };
  try {
    const { path, bytes } = await maintenance.one(LogEnd, logEnd(format, MOST_BYTES));
    if (path === null || bytes === null) return { unread: 'it does not tell where its log is: see log_directory' };
    return logEntries(format, Buffer.from(bytes, 'base64').toString('utf8'), prefix);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return {
      unread: `user "${maintenance.cluster.address.user}" may not read it: ${reasonOf(error)}; see log_directory`,
    };
  }
}

/** The server's own words: ours, with side and database, stand before them already. */
const reasonOf = ({ cause, message }: DatabaseError): string => (cause instanceof Error ? cause.message : message);
