import type { DatabaseMaker } from '../workload.ts';

/** Enums, domains, composite and range types, views on views, materialized views on each other. */
export const warehouse: DatabaseMaker = () => ({
  name: 'warehouse',
  owner: 'harbour_app',
  about: 'enums, domains, ranges, views, materialized views on each other',
  options: 'connection limit 120',
  statements: `
    create schema core;
    create schema reports;
    create type core.state as enum ('new', 'in hold', 'ashore', 'l''ost');
    create domain core.weight as numeric(9,3) check (value >= 0) default 1;
    create type core.place as (hall text, shelf integer);
    create collation core.bytes from "C";

    create table core.article (id integer primary key, title text collate core.bytes not null, price numeric(8,2) not null);
    insert into core.article select n, 'Article ' || n, 1 + n % 97 from generate_series(1, 2000) n;

    create table core.crate (
      id bigserial primary key, label text not null, revision integer not null default 0,
      state core.state not null default 'new', weight core.weight, place core.place default row('A', 1),
      valid daterange default '[2024-01-01,2025-01-01)', seen timestamptz[] default array['2024-05-06 07:08:09+02'::timestamptz],
      payload jsonb default '{"ü": [1, 2.50, null]}', raw bytea default '\\x00ff', price money default 12.34,
      address inet default '10.1.2.3/8', took interval default '1 mon 2 days 03:04:05.678', ratio double precision default 0.1
    );
    create unique index on core.crate (label);
    create index on core.crate using gin (payload);
    create index on core.crate (state, lower(label)) where state <> 'l''ost';
    alter table core.crate add constraint label_is_short check (length(label) < 100) not valid;
    insert into core.crate (label, state)
      select 'seed-' || n, (enum_range(null::core.state))[1 + n % 4] from generate_series(1, 3000) n;

    create view reports.dear as select id, title, price from core.article where price > 50 with local check option;
    create view reports.dearest as select * from reports.dear where price > 90;
    create materialized view reports.prices as select price, count(*) as articles from core.article group by price;
    create unique index on reports.prices (price);
    create materialized view reports.most as select max(articles) as most from reports.prices;
    create materialized view reports.later as select * from core.article with no data;
    create rule no_update as on update to reports.dearest do instead nothing;
    grant select on reports.prices to public;
  `,
  written: [
    {
      schema: 'core',
      name: 'crate',
      token: 'label',
      version: 'revision',
      seeds: 3000,
      updateAlso: { state: `(enum_range(null::core.state))[1 + $2::integer % 4]`, weight: '$2::integer / 3.0' },
    },
  ],
});
