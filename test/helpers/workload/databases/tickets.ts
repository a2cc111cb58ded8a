import type { DatabaseMaker } from '../workload.ts';

/** Replica identities in every state: by an index, full already, a deferrable primary key (which pglogical refuses), none at all. */
export const tickets: DatabaseMaker = (_major, engine) => ({
  name: 'tickets',
  owner: 'harbour_owner',
  about: 'replica identities: by index, full, deferrable key, none',
  statements: `
    create table ticket (code text not null, version integer not null default 0, seat integer);
    create unique index ticket_code on ticket (code);
    alter table ticket replica identity using index ticket_code;
    create table refund (code text not null, version integer not null default 0, reason text);
    alter table refund replica identity full;
    create table queue (place text primary key ${engine === 'native' ? 'deferrable initially deferred' : ''}, version integer not null default 0);
    create table scan (gate text, version integer, at timestamptz default '2024-01-01 00:00:00+00');
    insert into ticket (code) select 'seed-' || n from generate_series(1, 600) n;
    insert into refund (code) select 'seed-' || n from generate_series(1, 200) n;
    insert into queue (place) select 'seed-' || n from generate_series(1, 200) n;
    insert into scan (gate, version) select 'seed-' || n, 0 from generate_series(1, 200) n;
    grant select, insert, update, delete on all tables in schema public to harbour_app;
  `,
  written: [
    { schema: 'public', name: 'ticket', token: 'code', version: 'version', seeds: 600 },
    { schema: 'public', name: 'refund', token: 'code', version: 'version', seeds: 200 },
    { schema: 'public', name: 'queue', token: 'place', version: 'version', seeds: 200 },
    { schema: 'public', name: 'scan', token: 'gate', version: 'version', seeds: 200 },
  ],
});
