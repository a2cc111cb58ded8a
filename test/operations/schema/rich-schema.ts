/** One of nearly everything that a schema can hold, for sources from 10 on. */
export const richSchema = `
  create extension hstore; create extension pgcrypto;
  create schema "Odd, %schema"; comment on schema "Odd, %schema" is 'it''s; "odd"';
  create type public.mood as enum ('sad', 'it''s "ok"');
  create domain "Odd, %schema"."Positive %" as int check (value > 0);
  create type public.pair as (a int, "B c" text);
  create type public.span as range (subtype = float8);
  create function public.touch() returns trigger language plpgsql as $f$ begin return new; end $f$;
  create function "Odd, %schema"."Double"(x int, variadic rest int[]) returns int immutable language sql as $$
    -- TOC entry 1 (class 1259 OID 1)
    select $1 * 2 $$;
  create aggregate public.total(int) (sfunc = int4pl, stype = int, initcond = '0');
  create operator public.=== (leftarg = int, rightarg = int, procedure = int4eq);
  create sequence public.free_sequence increment -1 maxvalue -1 minvalue -1000;
  create table "Odd, %schema"."Order Items" (
    "select" int generated always as identity primary key,
    "ä;ö" text collate "C" not null default 'x''y', mood public.mood, p public.pair, h hstore,
    amount "Odd, %schema"."Positive %", span public.span, arr text[],
    constraint "check it" check (amount < 1000));
  comment on column "Odd, %schema"."Order Items"."select" is E'a\\nb';
  create table public.child (
    id bigserial primary key, parent int references "Odd, %schema"."Order Items" on delete cascade deferrable,
    code text unique, span int4range, exclude using gist (span with &&));
  create index "child parent %" on public.child (parent) where parent is not null;
  create index on public.child (lower(code), id desc);
  alter table public.child add constraint later check (id > 0) not valid;
  create statistics public.child_stats on parent, code from public.child;
  create table public.keyless (a int not null, b text) with (autovacuum_enabled = off);
  create unique index "keyless id" on public.keyless (a);
  alter table public.keyless replica identity using index "keyless id";
  create table public.whole_row (a int); alter table public.whole_row replica identity full;
  create table public.parted (id int, at date) partition by range (at);
  create table public.parted_1 partition of public.parted for values from ('2020-01-01') to ('2021-01-01') with (autovacuum_enabled = off);
  create table public.parted_2 partition of public.parted for values from ('2021-01-01') to ('2022-01-01') with (autovacuum_enabled = off);
  create unlogged table public.unlogged (a int);
  create table public.parent_of (a int); create table public.inherits (b int) inherits (public.parent_of);
  create view public.grouped as select id, code, count(*) from public.child group by id;
  create view public.simple with (security_barrier) as select * from public.parted;
  create materialized view public.mat as select 1 as one; create unique index on public.mat (one);
  create rule "no delete" as on delete to public.keyless do instead nothing;
  create trigger normal before insert on public.child for each row execute procedure public.touch();
  create trigger disabled before insert on public.child for each row execute procedure public.touch();
  alter table public.child disable trigger disabled;
  create trigger "always %" after insert on public.child for each row execute procedure public.touch();
  alter table public.child enable always trigger "always %";
  comment on trigger "always %" on public.child is 'fires; always';
  create trigger replica after insert on public.child for each row execute procedure public.touch();
  alter table public.child enable replica trigger replica;
  alter table public.child enable row level security;
  create policy "only mine" on public.child using (code = current_user);
  create function public.on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
  create event trigger "on ddl %" on ddl_command_start when tag in ('CREATE TABLE', 'DROP TABLE') execute procedure public.on_ddl();
  alter event trigger "on ddl %" enable always;
  comment on event trigger "on ddl %" is 'ddl';
  create foreign data wrapper nothing; create server "my server" foreign data wrapper nothing options (host 'it''s');
  create foreign table public.far (a int) server "my server";
  create cast (public.pair as text) with inout;
  create text search configuration public.words (copy = simple);
  revoke all on schema public from public; grant usage on schema public to public;
  grant select (code), update (code) on public.child to public;
  alter default privileges in schema "Odd, %schema" grant select on tables to public;
  insert into "Odd, %schema"."Order Items" (amount) select n from generate_series(1, 50) n;
  insert into public.child (parent, code, span) select n, 'c' || n, int4range(n * 10, n * 10 + 5) from generate_series(1, 50) n;
  insert into public.parted select n, '2020-01-01'::date + n from generate_series(1, 700) n;`;

/** What versions from 12 on have besides. */
export const richSchema12 = `
  ${richSchema}
  alter table public.parted add primary key (id, at);
  create index on public.parted (at);
  create table public.refers (id int, at date, foreign key (id, at) references public.parted);
  create table public.computed (a int primary key, b int generated always as (a * 2) stored);
  create procedure public.doing() language sql as $$ select 1 $$;
  create trigger on_parted before insert on public.parted_1 for each row execute procedure public.touch();
  create trigger cloned after insert on public.parted for each row execute procedure public.touch();
  alter table public.parted_2 enable always trigger cloned;`;
