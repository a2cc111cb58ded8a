/** A privilege on an object, as aclexplode() tells it. */
export interface Grant {
  /** Null: everybody (PUBLIC). */
  readonly grantee: string | null;
  readonly grantor: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

/**
 * Grants in rounds: a privilege can be handed on only by the owner or by who holds it with the grant option, so each round needs those
 * before it. They are taken back in the other direction: who has nothing left is refused a REVOKE.
 * @param grants those that are missing; who hands on holds what is not among them already
 * @see https://www.postgresql.org/docs/current/sql-grant.html
 */
export function grantorsFirst<Each extends Grant>(grants: readonly Each[], owner: string): Each[][] {
  const rounds: Each[][] = [];
  let rest = [...grants];
  while (rest.length > 0) {
    const to = ({ grantee, privilege }: Grant) => JSON.stringify([grantee, privilege]);
    const awaited = new Set(rest.filter(({ grantable }) => grantable).map(to));
    const able = ({ grantor, privilege }: Grant) =>
      grantor === owner || !awaited.has(JSON.stringify([grantor, privilege]));
    const next = rest.filter(able);
    // Servers refuse circles.
    const round = next.length > 0 ? next : rest;
    rounds.push(round);
    rest = rest.filter((each) => !round.includes(each));
  }
  return rounds;
}
