import type { DatabasePrivilege } from '../../postgres/catalog/database-definitions.ts';
import { grantorsFirst } from '../../postgres/grants.ts';
import { fragment, id, join, sql, trusted } from '../../postgres/sql.ts';
import type { Fragment, Sql } from '../../postgres/sql.ts';

interface Difference {
  readonly missing: readonly DatabasePrivilege[];
  readonly surplus: readonly DatabasePrivilege[];
}

/**
 * What takes away and gives what a database has too much and too little, each by its own grantor; for one transaction of a superuser.
 * @param owner of the database, when these run
 * @see https://www.postgresql.org/docs/current/ddl-priv.html
 */
export function privilegeStatements(database: string, owner: string, { missing, surplus }: Difference): Sql[] {
  const name = id(database);
  const [revokes, grants] = [grantorsFirst(surplus, owner).toReversed(), grantorsFirst(missing, owner)];
  return [
    ...revokes
      .flatMap((round) => alike(round, false))
      .flatMap(({ grantor, what, whom }) => as(grantor, sql`revoke ${what} on database ${name} from ${whom} cascade`)),
    ...grants
      .flatMap((round) => alike(round, true))
      .flatMap(({ grantor, grantable, what, whom }) =>
        as(
          grantor,
          sql`grant ${what} on database ${name} to ${whom}${grantable ? fragment` with grant option` : fragment``}`,
        ),
      ),
  ];

  function as(grantor: string, statement: Sql): Sql[] {
    // A superuser's GRANT counts as the owner's.
    return grantor === owner ? [statement] : [sql`set local role ${id(grantor)}`, statement, sql`reset role`];
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
