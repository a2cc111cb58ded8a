import * as z from 'zod';
import { fragment, join, lit, sql, trusted } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';

/** Transaction numbers have 32 bits in a row: beyond half of that, nobody knows any more what came first. */
const TOO_LONG_AGO = trusted('2000000000');

/** Which rows are told: all, none, or those of transactions that had not ended at that moment. */
type Since = 'ever' | 'never' | { readonly moment: string };

/** How old, in transactions, a row may be; null: any. */
const oldest = (since: Since): Fragment => {
  if (since === 'ever') return fragment`null::int`;
  if (since === 'never') return fragment`-1`;
  const moment = fragment`${lit(since.moment)}::bigint`;
  return fragment`case when txid_snapshot_xmax(txid_current_snapshot()) - ${moment} < ${TOO_LONG_AGO}
                       then age((${moment} & 4294967295)::text::xid) end`;
};

/**
 * How many large objects there are, how much is in them, and those that were made or changed (content, owner, privileges, comment)
 * by a transaction that had not ended at that moment: a row keeps the number of its transaction also when it is frozen. Reads every
 * page once and sends none.
 * @see https://www.postgresql.org/docs/current/catalog-pg-largeobject.html
 * @see https://www.postgresql.org/docs/current/ddl-system-columns.html
 */
export const scanLargeObjects = (since: Since): Sql => sql`
  with border as (select ${oldest(since)} as age),
  pages as (
    select count(*)::float8 as pages, coalesce(sum(octet_length(p.data)), 0)::float8 as bytes,
           -- Not distinct: that would read the pages in the order of an index. Where all are told, the objects themselves are.
           array_agg(p.loid) filter (where age(p.xmin) <= b.age) as changed
      from pg_largeobject p, border b),
  comments as (
    select count(*)::float8 as comments, array_agg(d.objoid) filter (where b.age is null or age(d.xmin) <= b.age) as changed
      from pg_description d, border b where d.classoid = 'pg_largeobject'::regclass),
  objects as (
    select count(*)::float8 as objects, array_agg(o.oid) filter (where b.age is null or age(o.xmin) <= b.age) as changed
      from pg_largeobject_metadata o, border b)
  select o.objects, c.comments, p.pages, p.bytes,
         (select coalesce(json_agg(id order by id), '[]')
            from (select unnest(p.changed)::bigint as id union select unnest(c.changed)::bigint
                  union select unnest(o.changed)::bigint) as ids) as changed
    from pages p, comments c, objects o`;

export const LargeObjectScan = z.object({
  objects: z.number(),
  comments: z.number(),
  pages: z.number(),
  /** Without what is not filled in. */
  bytes: z.number(),
  /** Their numbers. */
  changed: z.array(z.number()),
});
export type LargeObjectScan = z.output<typeof LargeObjectScan>;

/** Numbers of transactions, as text: they have 64 bits. */
export const Moment = z.object({
  /** All before this one have ended: what changes from now on is of this one or a later one. */
  moment: z.string(),
  /** Neither this one nor a later one had begun. */
  next: z.string(),
});
export type Moment = z.output<typeof Moment>;

export const momentNow = (): Sql => sql`
  select txid_snapshot_xmin(txid_current_snapshot())::text as moment, txid_snapshot_xmax(txid_current_snapshot())::text as next`;

export const LargeObject = z.object({
  id: z.number(),
  owner: z.string(),
  /** Also where they are those that every large object has. */
  privileges: z.array(
    z.object({
      /** Null: everybody. */
      grantee: z.string().nullable(),
      grantor: z.string(),
      privilege: z.enum(['SELECT', 'UPDATE']),
      grantable: z.boolean(),
    }),
  ),
  comment: z.string().nullable(),
});
export type LargeObject = z.output<typeof LargeObject>;

const DESCRIBED = fragment`
  select o.oid::bigint::float8 as id, pg_get_userbyid(o.lomowner)::text as owner,
         (select coalesce(json_agg(json_build_object('grantee', (select rolname from pg_roles r where r.oid = a.grantee),
                                                     'grantor', pg_get_userbyid(a.grantor),
                                                     'privilege', a.privilege_type, 'grantable', a.is_grantable)
                                   order by a.privilege_type, pg_get_userbyid(a.grantor)::text collate "C",
                                            case when a.grantee = 0 then '' else pg_get_userbyid(a.grantee)::text end collate "C"), '[]')
            from aclexplode(coalesce(o.lomacl, acldefault('L', o.lomowner))) a) as privileges,
         obj_description(o.oid, 'pg_largeobject') as comment
    from pg_largeobject_metadata o`;

const ids = (numbers: readonly number[]): Fragment => lit(`{${numbers.join(',')}}`);

/** Those of these large objects that there are. */
export const largeObjects = (numbers: readonly number[]): Sql => sql`
  ${DESCRIBED} where o.oid = any(${ids(numbers)}::oid[]) order by o.oid`;

export const LargeObjectId = z.object({ id: z.number() });

/** The next numbers behind this one, at most so many. */
export const largeObjectIds = (after: number, most: number): Sql => sql`
  select oid::bigint::float8 as id from pg_largeobject_metadata where oid > ${String(after)}::text::oid order by oid limit ${most}`;

export const LargeObjectSum = z.object({ id: z.number(), pages: z.number(), bytes: z.number(), sum: z.string() });
export type LargeObjectSum = z.output<typeof LargeObjectSum>;

/** How much is in each of these, and a checksum of its pages; those without a page are left out. */
export const largeObjectSums = (numbers: readonly number[]): Sql => sql`
  select loid::bigint::float8 as id, count(*)::float8 as pages, sum(octet_length(data))::float8 as bytes,
         sum(('x' || substr(md5(pageno::text || ' ' || md5(data)), 1, 16))::bit(64)::bigint)::text as sum
    from pg_largeobject where loid = any(${ids(numbers)}::oid[]) group by loid`;

export const LargeObjectSize = z.object({ id: z.number(), bytes: z.number() });

/** How much is in each of these; those without a page are left out. */
export const largeObjectSizes = (numbers: readonly number[]): Sql => sql`
  select loid::bigint::float8 as id, sum(octet_length(data))::float8 as bytes
    from pg_largeobject where loid = any(${ids(numbers)}::oid[]) group by loid`;

/**
 * Pages as they are, holes included, in a form that every major reads. Their size is a quarter of a block on both sides.
 * @see https://www.postgresql.org/docs/current/sql-copy.html
 */
export const copyPagesOut = (numbers: readonly number[]): Sql => sql`
  copy (select loid, pageno, data from pg_largeobject where loid = any(${ids(numbers)}::oid[])) to stdout with (format binary)`;
export const copyPagesIn = (): Sql => sql`copy pg_largeobject (loid, pageno, data) from stdin with (format binary)`;

export const removePages = (numbers: readonly number[]): Sql => sql`
  delete from pg_largeobject where loid = any(${ids(numbers)}::oid[])`;

/** Makes them, empty, for the role of the session. */
export const makeLargeObjects = (numbers: readonly number[]): Sql => sql`
  select lo_create(number) from unnest(${ids(numbers)}::oid[]) as number`;

/** Each takes a lock until the end of the transaction. */
export const removeLargeObjects = (numbers: readonly number[]): Sql => sql`
  select lo_unlink(number) from unnest(${ids(numbers)}::oid[]) as number`;

/** A list of numbers, as GRANT … ON LARGE OBJECT takes it. */
export const numberList = (numbers: readonly number[]): Fragment =>
  join(numbers.map((number) => trusted(String(number))));
