import type { OperationContext } from '../../engine/operation.ts';
import {
  DatabaseDefinition,
  databaseDefinitions,
  PrivilegeOnDatabase,
  privilegesByAcl,
  privilegesPerDatabase,
} from '../../postgres/catalog/database-definitions.ts';
import type { DatabasePrivilege } from '../../postgres/catalog/database-definitions.ts';
import { fragment, id, sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';

type TargetCluster = Pick<OperationContext, 'targetCluster'>;
type Target = Pick<OperationContext, 'targetCluster' | 'target'>;

/** By name, how databases of the target were made; those that are not there are left out. */
export async function targetDefinitions(
  { targetCluster }: TargetCluster,
  names: readonly string[],
): Promise<ReadonlyMap<string, DatabaseDefinition>> {
  const found = await targetCluster.maintenance.many(DatabaseDefinition, databaseDefinitions(names));
  return new Map(found.map((each) => [each.name, each]));
}

/** How the target's database of this step was made; undefined where there is none. */
export const targetDefinition = async (context: Target): Promise<DatabaseDefinition | undefined> =>
  (await targetDefinitions(context, [context.target.name])).get(context.target.name);

/**
 * Keeps everybody but superusers and our replication role out of databases of the target, whatever their owners have granted.
 * @returns whether there was anything to close
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function closeTargets(context: TargetCluster, names: readonly string[]): Promise<boolean> {
  const { maintenance } = context.targetCluster;
  const found = await targetDefinitions(context, names);
  const acls = new Map([...found].map(([name, { acl }]) => [name, acl]));
  const privileges = privilegesPerDatabase(await maintenance.many(PrivilegeOnDatabase, privilegesByAcl(acls)));
  const statements = [...found.values()].flatMap((each) => closing(each, privileges.get(each.name) ?? []));
  if (statements.length === 0) return false;
  // Several statements in one message: they commit together.
  await maintenance.atOnce(statements);
  return true;
}

export const closeTarget = (context: Target): Promise<boolean> => closeTargets(context, [context.target.name]);

function closing(
  { name, owner, connectionLimit }: DatabaseDefinition,
  privileges: readonly DatabasePrivilege[],
): Sql[] {
  // Whoever owns it may create schemas in it whether or not it says so; everybody else gets that with the other privileges.
  const granted = privileges.filter(
    ({ privilege, grantee }) => !grantee?.startsWith('pgconvoy') && (privilege !== 'CREATE' || grantee !== owner),
  );
  const grantees = new Set(granted.map(({ grantee }) => grantee));
  if (grantees.size === 0 && connectionLimit === 0) return [];
  return [
    sql`alter database ${id(name)} connection limit 0`,
    ...[...grantees].map((grantee) => {
      const who = grantee === null ? fragment`public` : id(grantee);
      const what = grantee === owner ? fragment`connect, temporary` : fragment`all`;
      return sql`revoke ${what} on database ${id(name)} from ${who} cascade`;
    }),
  ];
}
