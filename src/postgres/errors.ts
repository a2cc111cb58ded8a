import { PgconvoyError, UnreachableError } from '../errors.ts';
import type { Disposition } from '../errors.ts';

/** PostgreSQL refused a statement. */
export class DatabaseError extends PgconvoyError {
  override name = 'DatabaseError';
  readonly sqlstate: string;
  constructor(message: string, options: { hint: string; disposition: Disposition; sqlstate: string; cause?: unknown }) {
    super(message, options);
    this.sqlstate = options.sqlstate;
  }
}

interface Rule {
  readonly disposition: Disposition;
  readonly hint: string;
}

/**
 * What each SQLSTATE (or class of them) means for a job. The longest prefix wins.
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const RULES: Readonly<Record<string, Rule>> = {
  '08': { disposition: 'retry', hint: 'The connection broke; see that the server is up and reachable.' },
  '25006': {
    disposition: 'retry',
    hint: 'The session is read-only: see default_transaction_read_only, and that the server is not a standby.',
  },
  '28': {
    disposition: 'give-up',
    hint: 'See user and password in the configuration, and pg_hba.conf of that server.',
  },
  '3D000': { disposition: 'give-up', hint: 'See the name of the database in the configuration.' },
  '40': { disposition: 'retry', hint: 'Another transaction was in the way; the step is tried again.' },
  '42501': {
    disposition: 'give-up',
    hint: 'Grant the missing privilege to the configured user (a superuser is the simple way), then retry the step.',
  },
  '53': {
    disposition: 'retry',
    hint: 'The server is short of a resource: free connections, slots, workers or disk, or raise its limit.',
  },
  '53100': { disposition: 'give-up', hint: 'The disk of that server is full: make room, then retry the step.' },
  '53400': {
    disposition: 'give-up',
    hint: 'Raise the limit that the message names in postgresql.conf, then retry the step.',
  },
  '55P03': { disposition: 'wait', hint: 'Another session holds the lock; end it or wait, then retry the step.' },
  '55006': { disposition: 'wait', hint: 'Another session uses that object; end it or wait, then retry the step.' },
  '57014': { disposition: 'retry', hint: 'The statement was cancelled or ran into statement_timeout.' },
  '57': { disposition: 'retry', hint: 'The server is shutting down or starting; the step is tried again.' },
  '58': { disposition: 'retry', hint: 'The server had trouble with a file; see its log.' },
};
const OTHERWISE: Rule = { disposition: 'give-up', hint: "See the server's log, mend the cause, then retry the step." };

function ruleFor(sqlstate: string): Rule {
  for (let length = sqlstate.length; length >= 2; length--) {
    const rule = RULES[sqlstate.slice(0, length)];
    if (rule) return rule;
  }
  return OTHERWISE;
}

/** Codes that node gives a socket or a name that fails. */
const NETWORK = /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|ENOENT|EACCES)/;

/** Turns what `pg` throws into an error that names server and database, says why, and what to do. */
export function toPgconvoyError(
  error: unknown,
  where: { readonly server: string; readonly database: string },
): PgconvoyError {
  if (error instanceof PgconvoyError) return error;
  const place = `${where.server}, database "${where.database}"`;
  const fields = error as { code?: unknown; message?: unknown; detail?: unknown; hint?: unknown };
  const code = typeof fields.code === 'string' ? fields.code : '';
  const message = typeof fields.message === 'string' && fields.message !== '' ? fields.message : String(error);
  if (/^[0-9A-Z]{5}$/.test(code) && !NETWORK.test(code)) {
    const rule = ruleFor(code);
    const detail = typeof fields.detail === 'string' ? ` (${fields.detail})` : '';
    const hint = typeof fields.hint === 'string' ? `${fields.hint} ${rule.hint}` : rule.hint;
    return new DatabaseError(`${place}: ${message}${detail}`, {
      hint,
      disposition: rule.disposition,
      sqlstate: code,
      cause: error,
    });
  }
  if (/client password must be a (non-empty )?string/.test(message)) {
    return new UnreachableError(`${place}: the server asks for a password and none was given`, {
      hint: 'Set password or passwordFile in the configuration, or PGPASSWORD, or a line in .pgpass.',
      disposition: 'give-up',
      cause: error,
    });
  }
  return new UnreachableError(`${place}: ${message}`, {
    hint: 'See that the server is up and that host, port and sslmode in the configuration are right.',
    cause: error,
  });
}
