import type { DatabaseMaker } from '../workload.ts';

/** Extensions, with their types and operator classes in tables and indexes. */
export const library: DatabaseMaker = () => ({
  name: 'library',
  owner: 'harbour_app',
  about: 'extensions: citext in a primary key, trigram index, hstore',
  extensions: [
    'create extension citext',
    'create extension pg_trgm',
    'create schema extensions; create extension hstore schema extensions; grant usage on schema extensions to public',
  ],
  statements: `
    create table book (
      title citext primary key, edition integer not null default 0, facts extensions.hstore default 'pages=>100',
      isbn text default '978'
    );
    create index book_trigrams on book using gin ((title::text) gin_trgm_ops);
    insert into book (title) select 'seed-' || n from generate_series(1, 1500) n;
  `,
  written: [
    {
      schema: 'public',
      name: 'book',
      token: 'title',
      version: 'edition',
      seeds: 1500,
      updateAlso: { facts: `extensions.hstore('pages', ($2::integer)::text)` },
    },
  ],
});
