import * as z from 'zod';
import { fragment, lit, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

/**
 * Slots and senders of tables that are being copied, by whichever subscription: gone when the copy is, so in nobody's way.
 * @see https://www.postgresql.org/docs/current/logical-replication-subscription.html#LOGICAL-REPLICATION-SUBSCRIPTION-SLOT
 */
const TABLE_COPY = lit('^pg_[0-9]+_sync_[0-9]+');

export const ReplicationUse = z.object({
  slots: z.number(),
  senders: z.number(),
  origins: z.number(),
  subscriptions: z.number(),
});
export type ReplicationUse = z.output<typeof ReplicationUse>;

/**
 * How many slots, WAL senders, origins and enabled subscriptions of this cluster are not of this LIKE pattern.
 * @see https://www.postgresql.org/docs/current/logical-replication-config.html
 */
export const replicationUse = (ours: string): Sql => sql`
  select (select count(*) from pg_replication_slots where slot_name not like ${ours} and slot_name !~ ${TABLE_COPY})::int as slots,
         (select count(*) from pg_stat_replication where coalesce(application_name, '') not like ${ours}
             and coalesce(application_name, '') !~ ${TABLE_COPY})::int as senders,
         ${since('replicationOrigins', originsOfOthers(ours), sql`0`)} as origins,
         ${since('publications', sql`(select count(*) from pg_subscription where subenabled and subname not like ${ours})::int`, sql`0`)} as subscriptions`;

/** The origin of a subscription is named by its OID. */
const originsOfOthers = (ours: string): Sql => sql`
  (select count(*) from pg_replication_origin o
    where ${since(
      'publications',
      sql`not exists (select from pg_subscription s
                       where s.subname like ${ours} and o.roname ~ ('^pg_' || s.oid::text || '(_|$)'))`,
      sql`true`,
    )})::int`;

export const ReplicationSlot = z.object({
  name: z.string(),
  kind: z.enum(['logical', 'physical']),
  plugin: z.string().nullable(),
  database: z.string().nullable(),
  active: z.boolean(),
});
export type ReplicationSlot = z.output<typeof ReplicationSlot>;

/**
 * Lasting replication slots that are not of this LIKE pattern.
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export const otherSlots = (ours: string): Sql => sql`
  select slot_name::text as name, slot_type as kind, plugin::text, database::text, active
    from pg_replication_slots
   where slot_name not like ${ours} and slot_name !~ ${TABLE_COPY} ${since('temporarySlots', fragment`and not temporary`, fragment``)}
   order by slot_name`;

export const Subscription = z.object({ name: z.string(), database: z.string(), enabled: z.boolean() });
export type Subscription = z.output<typeof Subscription>;

/**
 * Subscriptions of all databases of this cluster that are not of this LIKE pattern; none before 10.
 * @see https://www.postgresql.org/docs/current/catalog-pg-subscription.html
 */
export const otherSubscriptions = (ours: string): Sql =>
  since(
    'publications',
    sql`select s.subname::text as name, d.datname::text as database, s.subenabled as enabled
          from pg_subscription s
          join pg_database d on d.oid = s.subdbid
         where s.subname not like ${ours}
         order by d.datname, s.subname`,
    sql`select null::text as name, null::text as database, false as enabled where false`,
  );

/** Subscriptions of this database, whoever made them. */
export const subscriptionsOf = (database: string): Sql => sql`
  select s.subname::text as name, d.datname::text as database, s.subenabled as enabled
    from pg_subscription s
    join pg_database d on d.oid = s.subdbid
   where d.datname = ${database}
   order by s.subname`;

export const ReplicationRole = z.object({});

/** A row where this role may log in for replication. */
export const replicationRole = (role: string): Sql => sql`
  select from pg_roles where rolname = ${role} and rolcanlogin and rolreplication`;
