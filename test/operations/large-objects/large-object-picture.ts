import type { Side } from '../../../src/postgres/cluster.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import type { TestPair } from '../../helpers/pair.ts';

/** All large objects of one side as a person sees them: content, pages, owner, privileges, comment. */
export const pictureOf = (pair: TestPair, side: Side, database: string): Promise<Record<string, unknown>[]> =>
  pair.query(
    side,
    database,
    `select o.oid::text as oid, pg_get_userbyid(o.lomowner) as owner,
            case when c.bytes < 1e6 then md5(lo_get(o.oid)) end as content, c.*, obj_description(o.oid, 'pg_largeobject') as comment,
            (select array_agg(concat_ws(' ', a.grantee::regrole, a.privilege_type, a.is_grantable, a.grantor::regrole)
                              order by concat_ws(' ', a.grantee::regrole, a.privilege_type, a.is_grantable, a.grantor::regrole) collate "C")
               from aclexplode(coalesce(o.lomacl, acldefault('L', o.lomowner))) a) as privileges
       from pg_largeobject_metadata o,
            lateral (select count(*)::int as pages, coalesce(max(pageno), 0) as last, coalesce(sum(octet_length(data)), 0)::float8 as bytes,
                            md5(string_agg(pageno || ' ' || md5(data), ',' order by pageno)) as sum
                       from pg_largeobject where loid = o.oid) c
      order by o.oid`,
  );

/** Objects of every kind on the source, and the roles they name on both sides. */
export async function odd(pair: TestPair): Promise<string> {
  const [owner, reader, third] = ['Odd "owner"', "reader's 100%", 'third'].map((name) => pair.name(name));
  const roles = [owner, reader, third].map((name) => `create role ${id(name!).text};`).join('\n');
  await pair.query('source', 'postgres', roles);
  await pair.query('target', 'postgres', roles);
  const [alice, bob, carol] = [owner, reader, third].map((name) => id(name!).text);
  return pair.database(
    'My "odd" DB',
    `select lo_from_bytea(10, 'plain'), lo_create(11), lo_from_bytea(12, convert_to(repeat('page ', 9000), 'UTF8'));
     -- Holes: nothing but two pages, far apart.
     select lo_create(13), lo_put(13, 0, 'begin'), lo_put(13, 300000000, 'end');
     select lo_from_bytea(4294967295, 'the last number'), lo_from_bytea(2147483648, 'beyond a signed one');
     set role ${alice};
     select lo_from_bytea(20, 'of another role'), lo_from_bytea(21, 'shared'), lo_from_bytea(22, 'chain'), lo_from_bytea(23, 'nobody');
     grant select on large object 21 to public; grant all on large object 21 to ${bob} with grant option;
     grant select, update on large object 22 to ${bob} with grant option;
     revoke all on large object 23 from ${alice};
     set role ${bob}; grant select on large object 22 to ${carol} with grant option; grant update on large object 22 to ${carol};
     set role ${carol}; grant select on large object 22 to ${alice};
     reset role;
     comment on large object 10 is ${lit(`it's "odd" \\ 100%`).text};
     comment on large object 11 is 'empty';`,
    ['source'],
  );
}
