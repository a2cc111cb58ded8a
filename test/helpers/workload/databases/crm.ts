import type { DatabaseMaker } from '../workload.ts';

/** Functions and triggers of every kind; fired twice or not at all, they leave rows that the proof misses or finds. */
export const crm: DatabaseMaker = () => ({
  name: 'crm',
  owner: 'harbour_owner',
  about: 'functions and triggers, one of them ENABLE ALWAYS, one disabled',
  statements: `
    create schema api;
    create table contact (
      id integer generated always as identity primary key,
      name text not null, version integer not null default 0, search tsvector, changed_by text default current_user
    );
    create index on contact using gin (search);
    create unique index on contact (name);
    create table contact_history (
      id bigint generated always as identity primary key, name text not null, version integer not null, kind text not null
    );
    create table always_history (name text not null, version integer not null, kind text not null);
    create table never_history (name text);

    create function note_change() returns trigger language plpgsql as $$
    begin
      execute format('insert into public.%I (name, version, kind) values ($1, $2, $3)', tg_argv[0])
        using case when tg_op = 'DELETE' then old.name else new.name end,
              case when tg_op = 'DELETE' then old.version else new.version end, lower(tg_op);
      return null;
    end $$;
    create function index_contact() returns trigger language plpgsql as $$
    begin
      new.search := to_tsvector('simple', new.name);
      return new;
    end $$;
    create function api.contact_count() returns bigint language sql stable security definer set search_path = public
      as 'select count(*) from contact';
    create function api.sum_of(variadic numbers numeric[]) returns numeric language sql immutable
      as 'select sum(n) from unnest(numbers) n';
    create aggregate api.concat_all(text) (sfunc = textcat, stype = text, initcond = '');
    create operator api.<=> (procedure = int4eq, leftarg = integer, rightarg = integer);
    revoke execute on function api.contact_count() from public;
    grant execute on function api.contact_count() to harbour_reader;

    insert into contact (name) select 'seed-' || n from generate_series(1, 1500) n;

    create trigger a_index before insert or update on contact for each row execute procedure index_contact();
    create trigger b_history after insert or update or delete on contact
      for each row execute procedure note_change('contact_history');
    create trigger c_always after insert or update or delete on contact
      for each row execute procedure note_change('always_history');
    create trigger d_never after insert on contact for each row execute procedure note_change('never_history');
    alter table contact enable always trigger c_always;
    alter table contact disable trigger d_never;

    grant usage on schema api to harbour_app, harbour_reader;
    grant select, insert, update, delete on contact, contact_history, always_history to harbour_app;
  `,
  written: [{ schema: 'public', name: 'contact', token: 'name', version: 'version', seeds: 1500 }],
  audits: ['contact_history', 'always_history'].map((name) => ({
    schema: 'public',
    name,
    of: 'contact',
    token: 'name',
    version: 'version',
    kind: 'kind',
  })),
});
