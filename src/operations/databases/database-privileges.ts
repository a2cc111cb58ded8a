import type { OperationContext } from '../../engine/operation.ts';
import {
  PrivilegeOnDatabase,
  privilegesByAcl,
  privilegesPerDatabase,
  privilegesWithout,
} from '../../postgres/catalog/database-definitions.ts';
import type { DatabaseDefinition, DatabasePrivilege } from '../../postgres/catalog/database-definitions.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { fragment, id, join, sql, trusted } from '../../postgres/sql.ts';
import type { Fragment, Sql } from '../../postgres/sql.ts';
import { targetDefinitions } from './closed-database.ts';

export interface WantedPrivileges {
  /** Null: nobody has granted or revoked anything. */
  readonly acl: string | null;
  readonly connectionLimit: number;
}

/** What the target's database has, what it lacks, and what it should not have. */
export interface PrivilegeDifference {
  readonly found: DatabaseDefinition;
  readonly missing: readonly DatabasePrivilege[];
  readonly surplus: readonly DatabasePrivilege[];
}

type TargetContext = Pick<OperationContext, 'targetCluster'>;

/**
 * Of each of the target's databases, how its privileges differ from those that it shall have. Ours are no concern of users.
 * @param found how they are; those that are not there are left out
 * @param readOn whose roles the ACLs name
 */
export async function privilegeDifferences(
  { targetCluster }: TargetContext,
  wanted: ReadonlyMap<string, Pick<WantedPrivileges, 'acl'>>,
  found: ReadonlyMap<string, DatabaseDefinition>,
  readOn: BoundCluster,
): Promise<ReadonlyMap<string, PrivilegeDifference>> {
  const there = [...wanted.keys()].filter((name) => found.has(name));
  if (there.length === 0) return new Map();
  const aclsOf = (definitions: ReadonlyMap<string, Pick<WantedPrivileges, 'acl'>>) =>
    privilegesByAcl(new Map(there.map((name) => [name, definitions.get(name)!.acl])));
  const [shall, has] = await Promise.all([
    readOn.maintenance.many(PrivilegeOnDatabase, aclsOf(wanted)),
    targetCluster.maintenance.many(PrivilegeOnDatabase, aclsOf(found)),
  ]);
  const [users, present] = [privilegesPerDatabase(shall.filter(isUsers)), privilegesPerDatabase(has)];
  return new Map(
    there.map((name) => {
      const [these, those] = [users.get(name) ?? [], present.get(name) ?? []];
      // Neither in what is wanted nor in what is there: each direction has let our role in on its own.
      const surplus = privilegesWithout(those, these).filter(isUsers);
      return [name, { found: found.get(name)!, missing: privilegesWithout(these, those), surplus }];
    }),
  );
}

const isUsers = ({ grantee }: DatabasePrivilege): boolean => !grantee?.startsWith('pgconvoy');

/**
 * Gives the target's databases exactly these privileges, and their connection limits: all of them in one message, or none. An ACL is
 * read on the cluster it comes from, since it names roles.
 * @see https://www.postgresql.org/docs/current/ddl-priv.html
 */
export async function restorePrivileges(
  context: TargetContext,
  wanted: ReadonlyMap<string, WantedPrivileges>,
  readOn: BoundCluster,
): Promise<void> {
  const found = await targetDefinitions(context, [...wanted.keys()]);
  const differences = await privilegeDifferences(context, wanted, found, readOn);
  const statements = [...differences].flatMap(([name, difference]) =>
    alterations(name, difference, wanted.get(name)!.connectionLimit),
  );
  if (statements.length > 0) await context.targetCluster.maintenance.atOnce(statements);
}

function alterations(database: string, { found, missing, surplus }: PrivilegeDifference, limit: number): Sql[] {
  const name = id(database);
  // A privilege can only be handed on by who holds it: the owner's grants come first.
  const grants = missing.toSorted(
    (one, other) => Number(one.grantor !== found.owner) - Number(other.grantor !== found.owner),
  );
  return [
    ...alike(surplus, false).flatMap(({ grantor, what, whom }) =>
      as(grantor, sql`revoke ${what} on database ${name} from ${whom} cascade`),
    ),
    ...alike(grants, true).flatMap(({ grantor, grantable, what, whom }) =>
      as(
        grantor,
        sql`grant ${what} on database ${name} to ${whom}${grantable ? fragment` with grant option` : fragment``}`,
      ),
    ),
    ...(found.connectionLimit === limit
      ? []
      : [sql`alter database ${name} connection limit ${trusted(String(limit))}`]),
  ];

  function as(grantor: string, statement: Sql): Sql[] {
    // A superuser's GRANT counts as the owner's.
    return grantor === found.owner ? [statement] : [sql`set local role ${id(grantor)}`, statement, sql`reset role`];
  }
}

interface Alike {
  readonly grantor: string;
  readonly grantable: boolean;
  readonly what: Fragment;
  readonly whom: Fragment;
}

/** Privileges that one statement gives or takes, in the order of the first of each: a grantee's, of one grantor. */
function alike(privileges: readonly DatabasePrivilege[], byOption: boolean): Alike[] {
  const groups = new Map<string, DatabasePrivilege[]>();
  for (const each of privileges) {
    const key = JSON.stringify([each.grantor, each.grantee, byOption && each.grantable]);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].map((group) => {
    const { grantor, grantable, grantee } = group[0]!;
    return {
      grantor,
      grantable,
      what: join(group.map(({ privilege }) => trusted(privilege))),
      whom: grantee === null ? fragment`public` : id(grantee),
    };
  });
}
