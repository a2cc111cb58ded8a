import type { DatabaseMaker } from '../workload.ts';

/** What replication does not carry, written to until the fence: an unlogged table and large objects; and views that read views. */
export const gallery: DatabaseMaker = () => ({
  name: 'gallery',
  owner: 'harbour_app',
  about: 'an unlogged table, 400 large objects, materialized views that read each other',
  statements: `
    select lo_from_bytea(100000 + n, convert_to(repeat('canvas ' || n, 700), 'UTF8')) from generate_series(1, 300) n;
    select lo_from_bytea(200000 + n, convert_to('kept ' || n, 'UTF8')) from generate_series(1, 100) n;
    select lo_create(300000), lo_create(300001), lo_put(300001, 0, 'begin'), lo_put(300001, 5000000, 'end, behind a hole');
    grant select on large object 200001, 200002, 300000 to public;
    grant select, update on large object 200003, 200004 to "Harbour Crew" with grant option;
    revoke all on large object 200005 from harbour_app;
    comment on large object 200006 is 'it''s "kept"';

    create table painting (title text primary key, version integer not null default 0, canvas oid);
    -- Whoever writes a painting paints over its canvas.
    create function paint() returns trigger language plpgsql set search_path = pg_catalog as $$
      begin
        new.canvas := 100001 + abs(hashtext(new.title)::bigint) % 300;
        perform lo_put(new.canvas, 0, convert_to(format('%s in version %s', new.title, new.version), 'UTF8'));
        return new;
      end $$;
    create trigger paint before insert or update on painting for each row execute procedure paint();
    insert into painting (title) select 'seed-' || n from generate_series(1, 500) n;

    create unlogged table visitor (ticket text primary key, visits integer not null default 0, seen timestamptz default now());
    insert into visitor (ticket) select 'seed-' || n from generate_series(1, 400) n;

    create table frame (id integer primary key, wide integer);
    insert into frame select n, n % 7 from generate_series(1, 200) n;
    create materialized view wide_frames as select wide, count(*) as frames from frame group by wide;
    create view between_them as select max(frames) as most from wide_frames;
    create materialized view a_summary as select most from between_them;
    create materialized view not_yet as select most from a_summary with no data;
  `,
  settings: `alter large object 200007 owner to harbour_owner; alter large object 200008 owner to "käpt'n 100%"`,
  written: [
    // Never deleted: the row tells whose canvas it was.
    {
      schema: 'public',
      name: 'painting',
      token: 'title',
      version: 'version',
      seeds: 500,
      kinds: ['insert', 'update'],
    },
    { schema: 'public', name: 'visitor', token: 'ticket', version: 'visits', seeds: 400 },
  ],
  largeObjects: { of: 'painting', column: 'canvas' },
});
