import { AclNamedNow, aclNamedNow } from '../../postgres/catalog/database-definitions.ts';
import { RoleByOid, rolesByOid } from '../../postgres/catalog/roles-of-databases.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import type { BeforeFence } from './fence.ts';

interface NamedNow {
  readonly before: BeforeFence;
  /** Roles that were dropped behind the fence: what they had nobody has any more, nor who has their names now. */
  readonly gone: readonly string[];
}

/**
 * What was before fences, by the names that its roles have now: a role keeps its OID when it is renamed, and a fence keeps names.
 * @param notes by database, of this cluster
 */
export async function namedNow<Name>(
  { maintenance }: BoundCluster,
  notes: ReadonlyMap<Name, BeforeFence>,
): Promise<ReadonlyMap<Name, NamedNow>> {
  const oids = new Set([...notes.values()].flatMap(({ roles = {} }) => Object.values(roles)));
  const found = oids.size === 0 ? [] : await maintenance.many(RoleByOid, rolesByOid([...oids]));
  const known = new Map(found.map(({ oid, name }) => [oid, name]));
  const named = new Map<Name, NamedNow>();
  for (const [database, before] of notes) {
    const roles = Object.entries(before.roles ?? {});
    const renamed = new Map(
      roles.flatMap(([name, oid]) => (known.has(oid) && known.get(oid) !== name ? [[name, known.get(oid)!]] : [])),
    );
    const gone = roles.flatMap(([name, oid]) => (known.has(oid) ? [] : [name]));
    if (renamed.size === 0 && gone.length === 0) named.set(database, { before, gone });
    else {
      const { acl } = await maintenance.one(AclNamedNow, aclNamedNow(before.acl, renamed, gone));
      named.set(database, { before: { ...before, acl, owner: renamed.get(before.owner) ?? before.owner }, gone });
    }
  }
  return named;
}
