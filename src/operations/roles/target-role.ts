import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { isVerifierOf, md5Verifier, scramVerifier } from '../../postgres/scram.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { fragment, id, lit, sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';

const Role = z.object({ attributes: z.boolean(), verifier: z.string().nullable() });

const existing = ({ target, settings }: OperationContext) =>
  target.maybe(
    Role,
    sql`select rolcanlogin and rolsuper and rolconnlimit = -1 and coalesce(rolvaliduntil = 'infinity', true) as attributes,
               rolpassword as verifier
          from pg_authid where rolname = ${settings.replication.role}`,
  );

/**
 * Whether the replication role on the target is as an engine wants it whose workers log in there too. They write to a database that only
 * superusers may enter, as replicas do, so it is one; nobody but the ledger knows its password.
 */
export async function hasTargetRole(context: OperationContext, password: string): Promise<boolean> {
  const role = await existing(context);
  return (
    role !== undefined &&
    role.attributes &&
    isVerifierOf(password, role.verifier ?? '', context.settings.replication.role)
  );
}

/** @see https://www.postgresql.org/docs/current/sql-createrole.html */
export async function makeTargetRole(context: OperationContext, password: string): Promise<void> {
  const { target, targetCluster, settings } = context;
  const verb = (await existing(context)) ? fragment`alter` : fragment`create`;
  const { major } = await targetCluster.facts();
  const verifier = offers(major, 'scramPasswords')
    ? scramVerifier(password)
    : md5Verifier(password, settings.replication.role);
  await inSecrecy(target, [verifier], () =>
    target.run(
      sql`${verb} role ${id(settings.replication.role)} with login superuser connection limit -1 valid until 'infinity'
            password ${lit(verifier)}`,
    ),
  );
}
