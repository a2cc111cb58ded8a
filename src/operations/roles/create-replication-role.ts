import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { isVerifierOf, md5Verifier, scramVerifier } from '../../postgres/scram.ts';
import { fragment, id, lit, since, sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { replicationSecret, secretKey } from '../replication/secret.ts';
import { dropTargetRole, hasTargetRole, makeTargetRole } from './target-role.ts';

const Role = z.object({
  /** LOGIN, REPLICATION and BYPASSRLS. */
  attributes: z.boolean(),
  /** Member of pg_read_all_data, or the server has no such role. */
  readsAll: z.boolean(),
  verifier: z.string().nullable(),
});

type Missing = 'secret' | 'target role' | 'role' | 'attributes' | 'password' | 'pg_read_all_data';

/**
 * A role on the source for the target's workers, and no other. Row security does not hide rows from it. Its password is random
 * and made here; the source gets only the verifier of it (SCRAM; MD5 before 10), the target's ledger keeps it for CREATE SUBSCRIPTION.
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
    const fresh = randomBytes(24).toString('base64url');
    await targetLedger.prepare();
    await inSecrecy(target, [fresh], () => targetLedger.record(secretKey(role), { password: fresh }));
    const password = (await replicationSecret(context))!;
    const { major } = await sourceCluster.facts();
    const verifier = offers(major, 'scramPasswords') ? scramVerifier(password) : md5Verifier(password, role);
    const verb = (await existing(context)) ? fragment`alter` : fragment`create`;
    await inSecrecy(source, [verifier], () =>
      source.run(
        sql`${verb} role ${id(role)} with login replication ${since('rowSecurity', fragment`bypassrls`, fragment``)} inherit nosuperuser nocreatedb nocreaterole
              connection limit -1 valid until 'infinity' password ${lit(verifier)}`,
      ),
    );
    if (offers(major, 'readAllData')) await source.run(sql`grant pg_read_all_data to ${id(role)}`);
    if (context.engine.logsInToTarget) await makeTargetRole(context, password);
  },

  async undo(context) {
    const { source, sourceCluster, targetLedger, settings } = context;
    const role = settings.replication.role;
    const exists = await existing(context);
    if (exists) {
      // Privileges that somebody gave it, or that the lane of a database left behind, would keep it from being dropped.
      for (const { database } of await source.many(
        z.object({ database: z.string() }),
        databasesWithPrivilegesOf(role),
      )) {
        await sourceCluster.database(database).run(sql`drop owned by ${id(role)}`);
      }
      await source.run(sql`drop role ${id(role)}`);
    }
    const dropped = await dropTargetRole(context);
    const secret = await replicationSecret(context);
    await targetLedger.forget(secretKey(role));
    return exists !== undefined || dropped || secret !== undefined;
  },
});

function existing({ source, settings }: OperationContext) {
  return source.maybe(
    Role,
    sql`select rolcanlogin and rolreplication and ${since('rowSecurity', fragment`rolbypassrls`, fragment`true`)} and rolinherit
                 and rolconnlimit = -1 and coalesce(rolvaliduntil = 'infinity', true) as attributes,
               rolpassword as verifier,
               not exists (select from pg_authid where rolname = 'pg_read_all_data')
                 or exists (select from pg_auth_members m join pg_authid g on g.oid = m.roleid
                             where m.member = a.oid and g.rolname = 'pg_read_all_data') as "readsAll"
          from pg_authid a where rolname = ${settings.replication.role}`,
  );
}

/** Names of the databases that hold privileges of a role; those of shared objects count for the one we are in. */
const databasesWithPrivilegesOf = (role: string) => sql`
  select distinct d.datname as database
    from pg_shdepend s join pg_database d on d.oid = s.dbid or s.dbid = 0 and d.datname = current_database()
   where s.refclassid = 'pg_authid'::regclass
     and s.refobjid = (select oid from pg_authid where rolname = ${role})
     and d.datallowconn`;
