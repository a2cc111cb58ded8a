import type { DatabaseMaker } from '../workload.ts';

/** The classic: one table with a primary key, one without any. */
export const testdb: DatabaseMaker = () => ({
  name: 'testdb',
  owner: 'harbour_app',
  about: 'animal has a primary key, fish has none',
  statements: `
    create table animal (id serial primary key, name text not null, weight integer not null default 0);
    create table fish (name text not null, weight integer not null default 0);
    insert into animal (name) select 'seed-' || n from generate_series(1, 2000) n;
    insert into fish (name) select 'seed-' || n from generate_series(1, 300) n;
    create index animal_name on animal (name);
  `,
  written: [
    { schema: 'public', name: 'animal', token: 'name', version: 'weight', seeds: 2000 },
    { schema: 'public', name: 'fish', token: 'name', version: 'weight', seeds: 300 },
  ],
});
