import type { DatabaseMaker } from '../workload.ts';

/** The heavy one: about 130 MB, with secondary indexes, written to while it is copied. */
export const archive: DatabaseMaker = () => ({
  name: 'archive',
  owner: 'harbour_owner',
  about: '130 MB in one table with three indexes',
  statements: `
    create table document (
      id bigserial primary key, title text not null, version integer not null default 0, author text not null,
      written_on date not null default '2024-01-01', body text
    );
    insert into document (title, author, written_on, body)
      select 'seed-' || n, 'author ' || n % 1000, date '2000-01-01' + n % 9000, repeat(md5(n::text), 22)
        from generate_series(1, 150000) n;
    create unique index document_title on document (title);
    create index document_author on document (author, written_on);
    create index document_date on document (written_on);
    grant select, insert, update, delete on document to harbour_app;
    grant usage on sequence document_id_seq to harbour_app;
    grant select on document to public;
  `,
  written: [
    {
      schema: 'public',
      name: 'document',
      token: 'title',
      version: 'version',
      seeds: 150_000,
      insertAlso: { author: `'author ' || length($1)`, body: 'repeat(md5($1), 22)' },
      updateAlso: { body: 'md5(($2::integer)::text)' },
    },
  ],
});
