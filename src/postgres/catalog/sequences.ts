import * as z from 'zod';
import { fragment, id, join, lit, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

export const SequenceName = z.object({
  schema: z.string(),
  name: z.string(),
  /** Where it began; null before 10, where only the sequence itself says it. */
  start: z.string().nullable(),
});
export type SequenceName = z.output<typeof SequenceName>;

/**
 * Every sequence of users: of serial and identity columns and free ones; not an extension's, not temporary, not ours.
 * @see https://www.postgresql.org/docs/current/catalog-pg-sequence.html
 */
export const userSequences = (): Sql =>
  sql`
  select n.nspname as schema, c.relname as name,
         ${since('sequenceCatalog', fragment`(select seqstart from pg_sequence where seqrelid = c.oid)`, fragment`null`)}::text as start
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'S' and c.relpersistence <> 't'
     and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by 1, 2`.kept();

/** `last` as text: it may go beyond what a number of JavaScript holds. */
export const SequenceValue = z.object({ schema: z.string(), name: z.string(), last: z.string(), called: z.boolean() });
export type SequenceValue = z.output<typeof SequenceValue>;

/**
 * The exact state of each of these sequences (at least one). pg_sequences would not do: it hides the value of one that was set
 * but not called since.
 * @see https://www.postgresql.org/docs/current/sql-createsequence.html
 */
export const sequenceValues = (sequences: readonly Pick<SequenceName, 'schema' | 'name'>[]): Sql => {
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
