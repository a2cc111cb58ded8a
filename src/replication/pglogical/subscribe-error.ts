import { PgconvoyError, UnreachableError } from '../../errors.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id } from '../../postgres/sql.ts';

/**
 * What pglogical says when it cannot subscribe, in words that lead on. Its own texts repeat connection strings, of others too: then
 * nothing of them is kept.
 */
export function subscribeError(
  error: unknown,
  { database, role }: { readonly database: string; readonly role: string },
): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const { message } = error;
  const place = `target, database "${database}"`;
  if (/points to existing node/.test(message)) {
    return new PgconvoyError(
      `${place}: pglogical knows the source's node already, by another connection string, so somebody else subscribes to it`,
      {
        hint: "See pglogical.show_subscription_status() in that database. Drop that subscription if it is nobody's, then retry the step.",
      },
    );
  }
  if (/permission denied for (?:schema|table|function|relation)/.test(message)) {
    return new PgconvoyError(
      `${place}: the replication role "${role}" may not ask pglogical on the source: ${message}`,
      {
        hint: `Run \`pgconvoy setup\`, or on the source, in that database: GRANT USAGE ON SCHEMA pglogical TO ${id(role).text}; GRANT SELECT ON ALL TABLES IN SCHEMA pglogical TO ${id(role).text}; then retry the step.`,
      },
    );
  }
  const [, why] = /could not connect to the postgresql server[^:]*: (.*?)(?: \(dsn was|$)/s.exec(message) ?? [];
  if (why === undefined) return error;
  return new UnreachableError(`${place}: pglogical cannot connect: ${why.trim()}`, {
    hint: `pglogical connects from the target's server to the source (see source.fromTarget, and pg_hba.conf there) and to the target itself (pg_hba.conf of the target must let "${role}" in from its own address).`,
    disposition: error.disposition,
  });
}
