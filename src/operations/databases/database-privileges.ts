import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import {
  PrivilegeOnDatabase,
  privilegesByAcl,
  privilegesPerDatabase,
  privilegesWithout,
} from '../../postgres/catalog/database-definitions.ts';
import type { DatabaseDefinition, DatabasePrivilege } from '../../postgres/catalog/database-definitions.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { targetDefinitions } from './closed-database.ts';
import { privilegeStatements } from './privilege-statements.ts';

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

/** A privilege that names roles which the target does not have. */
interface LeftOut extends DatabasePrivilege {
  readonly roles: readonly string[];
}

/**
 * Gives the target's databases exactly these privileges, and their connection limits: all of them in one message, or none. An ACL is
 * read on the cluster it comes from, since it names roles.
 * @param absent what becomes of a privilege that names a role which the target does not have
 * @returns those that were left out
 * @see https://www.postgresql.org/docs/current/ddl-priv.html
 */
export async function restorePrivileges(
  context: TargetContext,
  wanted: ReadonlyMap<string, WantedPrivileges>,
  readOn: BoundCluster,
  absent: 'refused' | 'left out' = 'refused',
): Promise<readonly LeftOut[]> {
  const found = await targetDefinitions(context, [...wanted.keys()]);
  const differences = await privilegeDifferences(context, wanted, found, readOn);
  const without =
    absent === 'refused'
      ? () => []
      : await rolesAbsent(
          context,
          [...differences.values()].flatMap(({ missing }) => missing),
        );
  const statements = [...differences].flatMap(([name, difference]) => {
    const { owner, connectionLimit } = difference.found;
    const limit = wanted.get(name)!.connectionLimit;
    const missing = difference.missing.filter((each) => without(each).length === 0);
    return [
      ...privilegeStatements(name, owner, { ...difference, missing }),
      ...(connectionLimit === limit
        ? []
        : [sql`alter database ${id(name)} connection limit ${trusted(String(limit))}`]),
    ];
  });
  if (statements.length > 0) await context.targetCluster.maintenance.atOnce(statements);
  return [...differences.values()].flatMap(({ missing }) =>
    missing.flatMap((each) => (without(each).length > 0 ? [{ ...each, roles: without(each) }] : [])),
  );
}

const Role = z.object({ name: z.string() });

/** Of each of these privileges, the roles it names that the target does not have. */
async function rolesAbsent({ targetCluster }: TargetContext, privileges: readonly DatabasePrivilege[]) {
  const named = ({ grantee, grantor }: DatabasePrivilege) => [
    ...new Set(grantee === null ? [grantor] : [grantee, grantor]),
  ];
  const names = privileges.flatMap(named);
  const roles =
    names.length === 0
      ? []
      : await targetCluster.maintenance.many(
          Role,
          sql`select rolname as name from pg_roles where rolname = any (${names}::text[])`,
        );
  const known = new Set(roles.map(({ name }) => name));
  return (privilege: DatabasePrivilege): string[] => named(privilege).filter((name) => !known.has(name));
}
