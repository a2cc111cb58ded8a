import type { OperationContext } from '../../engine/operation.ts';
import {
  DatabasePrivilege,
  databasePrivileges,
  privilegesWithout,
} from '../../postgres/catalog/database-definitions.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { fragment, id, sql, trusted } from '../../postgres/sql.ts';
import { targetDefinition } from './closed-database.ts';

export interface WantedPrivileges {
  /** Null: nobody has granted or revoked anything. */
  readonly acl: string | null;
  readonly connectionLimit: number;
}

/** Privileges that the target's database has and should not have, and the other way round. Ours are no concern of users. */
export async function privilegeDifference(context: OperationContext, { acl }: WantedPrivileges, readOn: BoundCluster) {
  const { target, targetCluster } = context;
  const found = (await targetDefinition(context))!;
  const [wanted, present] = await Promise.all([
    readOn.maintenance.many(DatabasePrivilege, databasePrivileges(target.name, acl)),
    targetCluster.maintenance.many(DatabasePrivilege, databasePrivileges(target.name, found.acl)),
  ]);
  const users = wanted.filter(({ grantee }) => !grantee?.startsWith('pgconvoy'));
  // Neither in what is wanted nor in what is there: each direction has let our role in on its own.
  const surplus = privilegesWithout(present, users).filter(({ grantee }) => !grantee?.startsWith('pgconvoy'));
  return { owner: found.owner, missing: privilegesWithout(users, present), surplus };
}

/**
 * Gives the target's database exactly these privileges, then its connection limit. The ACL is read on the cluster it comes
 * from, since it names roles.
 * @see https://www.postgresql.org/docs/current/ddl-priv.html
 */
export async function restorePrivileges(
  context: OperationContext,
  wanted: WantedPrivileges,
  readOn: BoundCluster,
): Promise<void> {
  const { target } = context;
  const { maintenance } = context.targetCluster;
  const { owner, missing, surplus } = await privilegeDifference(context, wanted, readOn);
  const name = id(target.name);
  // A privilege can only be handed on by who holds it: the owner's grants come first.
  const grants = missing.toSorted((one, other) => Number(one.grantor !== owner) - Number(other.grantor !== owner));
  await maintenance.transaction(async () => {
    for (const { grantee, privilege, grantor } of surplus) {
      await as(grantor, sql`revoke ${trusted(privilege)} on database ${name} from ${roleOf(grantee)} cascade`);
    }
    for (const { grantee, privilege, grantable, grantor } of grants) {
      const option = grantable ? fragment` with grant option` : fragment``;
      await as(grantor, sql`grant ${trusted(privilege)} on database ${name} to ${roleOf(grantee)}${option}`);
    }
    await maintenance.run(sql`alter database ${name} connection limit ${trusted(String(wanted.connectionLimit))}`);
  });

  async function as(grantor: string, statement: ReturnType<typeof sql>): Promise<void> {
    // A superuser's GRANT counts as the owner's.
    if (grantor === owner) await maintenance.run(statement);
    else {
      await maintenance.run(sql`set local role ${id(grantor)}`);
      await maintenance.run(statement);
      await maintenance.run(sql`reset role`);
    }
  }
}

const roleOf = (grantee: string | null) => (grantee === null ? fragment`public` : id(grantee));
