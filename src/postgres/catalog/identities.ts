import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

/**
 * Whether a table (alias c) has an index that identifies its rows. pg_get_replica_identity_index() says it too, but only from 10 on,
 * and it waits for locks.
 */
const hasIdentityIndex = fragment`exists (
  select from pg_index x
   where x.indrelid = c.oid and x.indisvalid and x.indisunique and x.indimmediate and x.indpred is null
     and case c.relreplident when 'd' then x.indisprimary when 'i' then x.indisreplident end)`;

export const IdentityCandidate = z.object({ table: z.coerce.number(), index: z.string(), columns: z.number() });
export type IdentityCandidate = z.output<typeof IdentityCandidate>;

/**
 * The indexes REPLICA IDENTITY USING INDEX takes, of tables that have no usable identity: unique, immediate, whole, on NOT NULL
 * columns. By table's oid; those of the fewest columns first.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
 */
export const identityCandidates = (): Sql => {
  const keyColumns = since('coveringIndexes', fragment`i.indnkeyatts`, fragment`i.indnatts`);
  return sql`
  select i.indrelid::text as table, ic.relname::text as index, ${keyColumns}::int as columns
    from pg_index i
    join pg_class ic on ic.oid = i.indexrelid
    join pg_am am on am.oid = ic.relam and am.amname = 'btree'
    join pg_class c on c.oid = i.indrelid and c.relkind = 'r' and c.relpersistence = 'p'
   where i.indisunique and i.indimmediate and i.indisvalid and i.indisready
     and i.indpred is null and i.indexprs is null
     and c.relnamespace <> (select oid from pg_namespace where nspname = 'pg_catalog')
     and not ${hasIdentityIndex}
     and not exists (
       select from generate_series(0, ${keyColumns} - 1) as k
        where not exists (select from pg_attribute a
                           where a.attrelid = c.oid and a.attnum = i.indkey[k] and a.attnum > 0 and a.attnotnull))
   order by i.indrelid, ${keyColumns}, ic.relname`;
};

export const IncomparableColumns = z.object({ table: z.coerce.number(), columns: z.array(z.string()) });
export type IncomparableColumns = z.output<typeof IncomparableColumns>;

/**
 * Columns whose type knows no equality (json, xml, point, …), of tables that have no identity index: with REPLICA IDENTITY FULL the
 * target compares whole rows, by the default btree or hash operator class of each type, and stops at such a column. One row for
 * each table that has any, columns as `name type`.
 * @see https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
 */
export const incomparableColumns = (): Sql => {
  // The publisher does not send generated columns, so nobody compares them.
  const sent = since('generatedColumns', fragment`a.attgenerated = ''`, fragment`true`);
  return sql`
  with recursive used as (
    select a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod
      from pg_attribute a
      join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and c.relpersistence = 'p'
     where a.attnum > 0 and not a.attisdropped and ${sent}
       and c.relnamespace not in (select oid from pg_namespace where nspname in ('pg_catalog', 'information_schema'))
       and not ${hasIdentityIndex}
  ), part (whole, typ) as (
    select distinct atttypid, atttypid from used
    union
    select p.whole, inner_types.typ
      from part p
      join pg_type t on t.oid = p.typ,
      lateral (
        select t.typbasetype as typ where t.typtype = 'd'
        union all
        select t.typelem where t.typlen = -1 and t.typelem <> 0 and t.typcategory = 'A'
        union all
        select f.atttypid from pg_attribute f
         where t.typtype = 'c' and f.attrelid = t.typrelid and f.attnum > 0 and not f.attisdropped
      ) inner_types
  ), comparable (typ) as (
    select o.opcintype from pg_opclass o join pg_am am on am.oid = o.opcmethod
     where o.opcdefault and am.amname in ('btree', 'hash')
  ), incomparable (typ) as (
    select distinct p.whole
      from part p
      join pg_type t on t.oid = p.typ
     where t.typtype not in ('d', 'c', 'e', 'r', 'm')
       and not (t.typlen = -1 and t.typelem <> 0 and t.typcategory = 'A')
       and t.oid not in (select typ from comparable)
       and not exists (select from pg_cast k join comparable on comparable.typ = k.casttarget
                        where k.castsource = t.oid and k.castmethod = 'b' and k.castcontext = 'i')
  )
  select u.attrelid::text as table,
         array_agg(format('%I %s', u.attname, format_type(u.atttypid, u.atttypmod)) order by u.attnum) as columns
    from used u
   where u.atttypid in (select typ from incomparable)
   group by u.attrelid
   order by u.attrelid`;
};
