import * as z from 'zod';
import { fragment, id, join, lit, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const SequenceName = z.object({ schema: z.string(), name: z.string(), start: z.string() });
export type SequenceName = z.output<typeof SequenceName>;

/**
 * Every sequence of users: of serial and identity columns and free ones; not an extension's, not temporary, not ours.
 * @see https://www.postgresql.org/docs/current/catalog-pg-sequence.html
 */
export const userSequences = (): Sql => sql`
  select n.nspname as schema, c.relname as name, s.seqstart::text as start
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_sequence s on s.seqrelid = c.oid
   where c.relkind = 'S' and c.relpersistence <> 't'
     and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pgconvoy')
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by 1, 2`;

/** `last` as text: it may go beyond what a number of JavaScript holds. */
export const SequenceValue = z.object({ schema: z.string(), name: z.string(), last: z.string(), called: z.boolean() });
export type SequenceValue = z.output<typeof SequenceValue>;

/**
 * The exact state of each of these sequences (at least one). pg_sequences would not do: it hides the value of one that was set
 * but not called since.
 * @see https://www.postgresql.org/docs/current/sql-createsequence.html
 */
export const sequenceValues = (sequences: readonly SequenceName[]): Sql => {
  const reads = sequences.map(
    ({ schema, name }) =>
      fragment`select ${lit(schema)} as schema, ${lit(name)} as name, last_value::text as last, is_called as called from ${id(schema, name)}`,
  );
  return sql`${join(reads, ' union all ')}`;
};

/** Sets all of these sequences; not undone by a rollback. */
export const setSequences = (values: readonly SequenceValue[]): Sql => sql`
  select setval(format('%I.%I', v.schema, v.name)::regclass, v.last, v.called)
    from unnest(${values.map(({ schema }) => schema)}::text[], ${values.map(({ name }) => name)}::text[],
                ${values.map(({ last }) => last)}::bigint[], ${values.map(({ called }) => called)}::bool[])
         as v (schema, name, last, called)`;
