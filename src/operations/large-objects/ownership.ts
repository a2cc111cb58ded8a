import { numberList } from '../../postgres/catalog/large-objects.ts';
import type { LargeObject } from '../../postgres/catalog/large-objects.ts';
import { grantorsFirst } from '../../postgres/grants.ts';
import { fragment, id, lit, trusted } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { groupBy } from '../../engine/group-by.ts';

/** A large object as it is, and as it shall be. */
export type Change = readonly [present: LargeObject, wanted: LargeObject];
type Privilege = LargeObject['privileges'][number];

/** @see https://www.postgresql.org/docs/current/sql-alterlargeobject.html */
export const ownerAndComment = (changes: readonly Change[]): Fragment[] =>
  changes.flatMap(([present, wanted]) => {
    const number = numberList([wanted.id]);
    return [
      ...(present.owner === wanted.owner ? [] : [fragment`alter large object ${number} owner to ${id(wanted.owner)}`]),
      ...(present.comment === wanted.comment
        ? []
        : [
            fragment`comment on large object ${number} is ${wanted.comment === null ? trusted('null') : lit(wanted.comment)}`,
          ]),
    ];
  });

/**
 * Privileges from scratch where they differ, all objects that get the same ones in the same statements. What the owner has given is
 * taken back with everything that came of it; a superuser does that as the owner.
 * @see https://www.postgresql.org/docs/current/sql-grant.html
 */
export function privileges(changes: readonly Change[]): Fragment[] {
  const different = changes.filter(
    ([present, wanted]) => JSON.stringify(present.privileges) !== JSON.stringify(wanted.privileges),
  );
  const groups = groupBy(different, ([present, wanted]) =>
    JSON.stringify([present.privileges.map(({ grantee }) => grantee), wanted.owner, wanted.privileges]),
  );
  return [...groups.values()].flatMap((group) => {
    const [present, wanted] = group[0]!;
    const objects = numberList(group.map(([object]) => object.id));
    const holders = [...new Set(present.privileges.map(({ grantee }) => grantee))];
    return [
      ...holders.map((holder) => fragment`revoke all on large object ${objects} from ${roleOf(holder)} cascade`),
      ...grantorsFirst(wanted.privileges, wanted.owner)
        .flat()
        .flatMap((each) => grant(each, objects, wanted.owner)),
    ];
  });
}

function grant({ grantee, grantor, privilege, grantable }: Privilege, objects: Fragment, owner: string): Fragment[] {
  const option = grantable ? fragment` with grant option` : fragment``;
  const what = privilege === 'SELECT' ? fragment`select` : fragment`update`;
  const statement = fragment`grant ${what} on large object ${objects} to ${roleOf(grantee)}${option}`;
  return grantor === owner ? [statement] : [fragment`set local role ${id(grantor)}`, statement, fragment`reset role`];
}

const roleOf = (role: string | null): Fragment => (role === null ? fragment`public` : id(role));
