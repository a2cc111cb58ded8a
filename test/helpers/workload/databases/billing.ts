import type { DatabaseMaker } from '../workload.ts';

/** Privileges in all their forms; PUBLIC may not even connect. */
export const billing: DatabaseMaker = () => ({
  name: 'billing',
  owner: 'harbour_owner',
  about: 'privileges, row level security, settings per database and role',
  settings: `
    revoke all on database :db from public;
    grant connect on database :db to harbour_app, harbour_reader;
    grant temporary on database :db to "Harbour Crew";
    alter database :db set statement_timeout = '2min';
    alter database :db set default_transaction_isolation = 'read committed';
    alter role harbour_reader in database :db set default_transaction_read_only = on;
    comment on database :db is 'Accounts, 100% private';
  `,
  statements: `
    create table account (number text primary key, version integer not null default 0, secret text, amount numeric(12,2) default 0);
    alter table account enable row level security;
    alter table account force row level security;
    create policy everything on account to harbour_app using (true) with check (true);
    create policy mine on account for select to harbour_reader using (number like 'seed-1%');
    create policy owner_fills on account for insert to harbour_owner with check (true);
    insert into account (number, secret) select 'seed-' || n, md5(n::text) from generate_series(1, 1000) n;
    grant select, insert, update, delete on account to harbour_app;
    grant select (number, amount), update (amount) on account to harbour_reader;
    revoke all on schema public from public;
    grant usage on schema public to harbour_app, harbour_reader;
    create sequence receipt start 1 no cycle cache 10;
    grant usage, select on sequence receipt to harbour_app;
    alter default privileges grant select on tables to harbour_reader;
    alter default privileges revoke execute on functions from public;
    create table settings (name text primary key, value text);
    insert into settings values ('currency', 'EUR');
  `,
  written: [{ schema: 'public', name: 'account', token: 'number', version: 'version', seeds: 1000 }],
  sequences: [{ schema: 'public', name: 'receipt' }],
});
