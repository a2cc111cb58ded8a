import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { isVerifierOf, md5Verifier, scramVerifier } from '../../postgres/scram.ts';
import { fragment, id, lit, since, sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { replicationSecret, secretIn, secretKey } from '../replication/secret.ts';
import { dropRole } from './drop-role.ts';
import { hasTargetRole, makeTargetRole } from './target-role.ts';

const Role = z.object({
  /** LOGIN, REPLICATION and BYPASSRLS. */
  attributes: z.boolean(),
  superuser: z.boolean(),
  /** Member of pg_read_all_data, or the server has no such role. */
  readsAll: z.boolean(),
  verifier: z.string().nullable(),
});

type Missing = 'secret' | 'target role' | 'role' | 'attributes' | 'password' | 'pg_read_all_data';

/**
 * A role on the source for the target's workers, and no other. Row security does not hide rows from it. Its password is random
 * and made here; the source gets only the verifier of it (SCRAM; MD5 before 10), the target's ledger keeps it for CREATE SUBSCRIPTION.
 * On the way back it is the same role with the same password on the other cluster, whose ledger keeps it as well.
 * @see https://www.postgresql.org/docs/current/logical-replication-security.html
 */
export const createReplicationRole = defineOperation({
  name: 'create-replication-role',
  title: 'The target can log in to the source for replication',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({ role: z.string() }),

  async check(context) {
    const password = await replicationSecret(context);
    const role = await existing(context);
    const missing: Missing[] = [];
    if (password === undefined) missing.push('secret');
    if (!role) missing.push('role');
    else {
      if (!role.attributes) missing.push('attributes');
      if (!role.readsAll) missing.push('pg_read_all_data');
      if (password !== undefined && !isVerifierOf(password, role.verifier ?? '', context.settings.replication.role))
        missing.push('password');
    }
    const { engine } = context;
    if (engine.logsInToTarget && (password === undefined || !(await hasTargetRole(context, password))))
      missing.push('target role');
    return missing.length > 0 ? lacks(missing) : holds({ role: context.settings.replication.role });
  },

  async apply(context) {
    const { source, target, targetLedger, settings, sourceCluster } = context;
    const role = settings.replication.role;
    const fresh = (await secretIn(context.sourceLedger, role)) ?? randomBytes(24).toString('base64url');
    await targetLedger.prepare();
    await inSecrecy(target, [fresh], () => targetLedger.record(secretKey(role), { password: fresh }));
    const password = (await replicationSecret(context))!;
    const { major } = await sourceCluster.facts();
    const verifier = offers(major, 'scramPasswords') ? scramVerifier(password) : md5Verifier(password, role);
    const known = await existing(context);
    const verb = known ? fragment`alter` : fragment`create`;
    // Of an engine that logs in to its targets this cluster may be one already.
    const power = known?.superuser && context.engine.logsInToTarget ? fragment`` : fragment`nosuperuser`;
    await inSecrecy(source, [verifier], () =>
      source.run(
        sql`${verb} role ${id(role)} with login replication ${since('rowSecurity', fragment`bypassrls`, fragment``)} inherit ${power} nocreatedb nocreaterole
              connection limit -1 valid until 'infinity' password ${lit(verifier)}`,
      ),
    );
    if (offers(major, 'readAllData')) await source.run(sql`grant pg_read_all_data to ${id(role)}`);
    if (context.engine.logsInToTarget) await makeTargetRole(context, password);
  },

  async undo(context) {
    const { sourceCluster, targetCluster, sourceLedger, targetLedger, settings } = context;
    const role = settings.replication.role;
    let changed = false;
    // Both are gone through, whichever directions and engines there were.
    for (const cluster of [sourceCluster, targetCluster]) changed = (await dropRole(cluster, role)) || changed;
    for (const ledger of [sourceLedger, targetLedger]) {
      changed ||= (await secretIn(ledger, role)) !== undefined;
      await ledger.forget(secretKey(role));
    }
    return changed;
  },
});

function existing({ source, settings }: OperationContext) {
  return source.maybe(
    Role,
    sql`select rolsuper as superuser,
               rolcanlogin and rolreplication and ${since('rowSecurity', fragment`rolbypassrls`, fragment`true`)} and rolinherit
                 and rolconnlimit = -1 and coalesce(rolvaliduntil = 'infinity', true) as attributes,
               rolpassword as verifier,
               not exists (select from pg_authid where rolname = 'pg_read_all_data')
                 or exists (select from pg_auth_members m join pg_authid g on g.oid = m.roleid
                             where m.member = a.oid and g.rolname = 'pg_read_all_data') as "readsAll"
          from pg_authid a where rolname = ${settings.replication.role}`,
  );
}
