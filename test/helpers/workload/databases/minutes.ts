import type { DatabaseMaker } from '../workload.ts';

/** Another locale and template database than the rest, inheritance, and an empty table. */
export const minutes: DatabaseMaker = () => ({
  name: 'minutes',
  owner: 'harbour_app',
  about: 'inheritance, an empty table, values that are hard to carry',
  options: `encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8'`,
  statements: `
    create table entry (id bigserial primary key, topic text not null, version integer not null default 0, said text);
    create table decision (votes integer[] default '{{1,2},{3,4}}') inherits (entry);
    alter table decision add primary key (id);
    create table empty (id integer primary key);
    create table extremes (
      id integer primary key, n numeric, f double precision, t timestamptz, d date, txt text, x xml, b bit varying
    );
    insert into extremes values
      (1, 'NaN', 'infinity', 'infinity', '-infinity', e'tab\\t newline\\n backslash \\\\ \\\\.', '<a>&lt;</a>', b'101'),
      (2, 1e-100, 'NaN', '4713-01-01 00:00:00+00 BC', '5874897-12-31', '', null, b''),
      (3, 12345678901234567890.123456789, 1e-300, '2024-02-29 23:59:60+14', '2000-01-01', 'NULL', null, null),
      (4, null, -0.0, null, null, '\\N', null, null);
    insert into entry (topic, said) select 'seed-' || n, repeat('ha', n) from generate_series(1, 700) n;
    insert into decision (topic) select 'decision ' || n from generate_series(1, 100) n;
    create table old_names (old_name text not null, version integer not null default 0, dropped integer);
    insert into old_names select 'seed-' || n, 0, n from generate_series(1, 200) n;
    alter table old_names drop column dropped;
    alter table old_names add column added text default 'later';
    alter table old_names add primary key (old_name);
  `,
  written: [
    {
      schema: 'public',
      name: 'entry',
      token: 'topic',
      version: 'version',
      seeds: 700,
      insertAlso: { said: `repeat($1, 500)` },
    },
    { schema: 'public', name: 'old_names', token: 'old_name', version: 'version', seeds: 200 },
  ],
});
