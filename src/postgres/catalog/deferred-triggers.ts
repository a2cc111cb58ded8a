import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

export const DeferredTrigger = z.object({
  schema: z.string(),
  table: z.string(),
  name: z.string(),
  /** CREATE TRIGGER. */
  definition: z.string(),
  /** A: fires always, R: fires while rows are applied. */
  enabled: z.enum(['A', 'R']),
  /** Made with the trigger of a partitioned table: only its state is its own. */
  isInherited: z.boolean(),
  comment: z.string().nullable(),
});
export type DeferredTrigger = z.output<typeof DeferredTrigger>;

const OF_AN_EXTENSION = sql`exists (select from pg_depend d
  where d.classid = t.tableoid and d.objid = t.oid and d.deptype = 'e')`;

/**
 * Triggers of users that fire while rows are applied. Those of partitions that come with their root are named internal up to
 * 14, by their parent from 13 on.
 * @see https://www.postgresql.org/docs/current/catalog-pg-trigger.html
 */
export const deferredTriggers = (): Sql =>
  sql`
  select n.nspname as schema, c.relname as table, t.tgname as name, pg_get_triggerdef(t.oid) as definition,
         t.tgenabled::text as enabled,
         t.tgisinternal or coalesce((to_json(t)->>'tgparentid')::oid, 0) <> 0 as "isInherited",
         obj_description(t.oid, 'pg_trigger') as comment
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
   where t.tgenabled in ('A', 'R')
     -- Internal triggers with a constraint are foreign keys' own.
     and (not t.tgisinternal or t.tgconstraint = 0)
     and n.nspname !~ '^pg_' and n.nspname not in (${NOT_USERS}) and not ${OF_AN_EXTENSION}
   order by 1, 2, 3`.kept();

export const TriggerState = z.object({ schema: z.string(), table: z.string(), name: z.string(), enabled: z.string() });

/** Whether and how triggers of these tables and names fire, as far as they exist. */
export const triggerStates = (triggers: readonly { schema: string; table: string; name: string }[]): Sql => sql`
  select n.nspname as schema, c.relname as table, t.tgname as name, t.tgenabled::text as enabled
    from json_to_recordset(${JSON.stringify(triggers)}::json) as wanted (schema text, "table" text, name text)
    join pg_namespace n on n.nspname = wanted.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = wanted.table
    join pg_trigger t on t.tgrelid = c.oid and t.tgname = wanted.name`;

export const EventTrigger = z.object({
  name: z.string(),
  event: z.string(),
  owner: z.string(),
  /** Qualified, with its empty argument list. */
  function: z.string(),
  /** O: fires, D: does not, A and R as for triggers. */
  enabled: z.enum(['O', 'D', 'A', 'R']),
  tags: z.array(z.string()).nullable(),
  comment: z.string().nullable(),
});
export type EventTrigger = z.output<typeof EventTrigger>;

/**
 * Event triggers of users.
 * @see https://www.postgresql.org/docs/current/catalog-pg-event-trigger.html
 */
export const eventTriggers = (): Sql =>
  sql`
  select t.evtname as name, t.evtevent as event, pg_get_userbyid(t.evtowner) as owner, t.evtfoid::regprocedure::text as function,
         t.evtenabled::text as enabled, t.evttags as tags, obj_description(t.oid, 'pg_event_trigger') as comment
    from pg_event_trigger t
   where not ${OF_AN_EXTENSION}
   order by 1`.kept();
