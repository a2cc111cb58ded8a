import type { DatabaseMaker } from '../workload.ts';

/** One of many alike. */
export const tenant =
  (number: number): DatabaseMaker =>
  () => ({
    name: `tenant_${String(number).padStart(3, '0')}`,
    owner: 'harbour_app',
    about: 'one of many alike',
    statements: `
      create table customer (id serial primary key, name text not null, version integer not null default 0);
      create unique index on customer (name);
      create table visit (id serial primary key, customer integer not null references customer, at date default '2024-01-01');
      insert into customer (name) select 'seed-' || n from generate_series(1, 500) n;
      insert into visit (customer) select 1 + n % 50 from generate_series(1, 500) n;
    `,
    written: [
      {
        schema: 'public',
        name: 'customer',
        token: 'name',
        version: 'version',
        seeds: 500,
        kinds: ['insert', 'update'],
      },
    ],
  });
