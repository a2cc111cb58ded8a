import type { DatabaseMaker } from '../workload.ts';

/** Unicode and percent signs, in names and in data. */
export const unicode: DatabaseMaker = () => ({
  name: 'Grüße 100% 数据',
  owner: "käpt'n 100%",
  about: 'unicode and % in names and data',
  settings: `alter database :db set timezone = 'Europe/Berlin'; grant connect on database :db to harbour_reader;`,
  statements: `
    create schema "Ελλάδα %s";
    create table "Ελλάδα %s"."Straße" ("größe %" text primary key, "数" integer not null default 0, "emoji 🚢" text default '⚓ 100%');
    insert into "Ελλάδα %s"."Straße" ("größe %") select 'seed-' || n from generate_series(1, 800) n;
    create sequence "Ελλάδα %s"."счёт" start 42;
    create function "Ελλάδα %s"."%I"(text) returns text language sql immutable as $$ select '%s ' || $1 $$;
    create index "ïndex %" on "Ελλάδα %s"."Straße" (("Ελλάδα %s"."%I"("größe %")));
    grant usage on schema "Ελλάδα %s" to harbour_app;
    grant all on "Ελλάδα %s"."Straße" to harbour_app;
    grant usage on "Ελλάδα %s"."счёт" to harbour_app;
  `,
  written: [{ schema: 'Ελλάδα %s', name: 'Straße', token: 'größe %', version: '数', seeds: 800 }],
  sequences: [{ schema: 'Ελλάδα %s', name: 'счёт' }],
});
