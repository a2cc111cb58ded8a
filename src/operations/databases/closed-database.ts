import type { OperationContext } from '../../engine/operation.ts';
import {
  DatabaseDefinition,
  databaseDefinition,
  DatabasePrivilege,
  databasePrivileges,
} from '../../postgres/catalog/database-definitions.ts';
import { fragment, id, join, sql } from '../../postgres/sql.ts';

/** How the target's database of this step was made; undefined where there is none. */
export const targetDefinition = ({
  targetCluster,
  target,
}: OperationContext): Promise<DatabaseDefinition | undefined> =>
  targetCluster.maintenance.maybe(DatabaseDefinition, databaseDefinition(target.name));

/**
 * Keeps everybody but superusers and our replication role out of the target's database, whatever its owner has granted.
 * @returns whether there was anything to close
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function closeTarget({
  targetCluster,
  target,
}: Pick<OperationContext, 'targetCluster' | 'target'>): Promise<boolean> {
  const { maintenance } = targetCluster;
  const found = await maintenance.maybe(DatabaseDefinition, databaseDefinition(target.name));
  if (!found) return false;
  const privileges = await maintenance.many(DatabasePrivilege, databasePrivileges(target.name, found.acl));
  // Whoever owns it may create schemas in it whether or not it says so; everybody else gets that with the other privileges.
  const granted = privileges.filter(
    ({ privilege, grantee }) => !grantee?.startsWith('pgconvoy') && (privilege !== 'CREATE' || grantee !== found.owner),
  );
  const grantees = new Set(granted.map(({ grantee }) => grantee));
  if (grantees.size === 0 && found.connectionLimit === 0) return false;
  const statements = [
    fragment`alter database ${id(target.name)} connection limit 0`,
    ...[...grantees].map((grantee) => {
      const who = grantee === null ? fragment`public` : id(grantee);
      const what = grantee === found.owner ? fragment`connect, temporary` : fragment`all`;
      return fragment`revoke ${what} on database ${id(target.name)} from ${who} cascade`;
    }),
  ];
  // Several statements in one message: they commit together.
  await maintenance.run(sql`${join(statements, '; ')}`);
  return true;
}
