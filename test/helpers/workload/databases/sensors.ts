import type { DatabaseMaker } from '../workload.ts';

/** Many rows in many partitions. */
export const sensors: DatabaseMaker = (major) => ({
  name: 'sensors',
  owner: 'harbour_app',
  about: '200,000 rows in 8 partitions',
  statements: `
    create table station (code text primary key, version integer not null default 0, location point default '(1.5,2)');
    insert into station select 'seed-' || n from generate_series(1, 200) n;
    create table reading (
      id bigint not null, region integer not null, value double precision, note text
      ${major >= 11 ? ', primary key (region, id)' : ''}
    ) partition by list (region);
    ${[0, 1, 2, 3, 4, 5, 6, 7]
      .map(
        (region) => `
          create table "reading %${region}" partition of reading for values in (${region});
          ${major >= 11 ? '' : `alter table "reading %${region}" add primary key (region, id);`}
          create index on "reading %${region}" (value);`,
      )
      .join('\n')}
    insert into reading select n, n % 8, sqrt(n), md5(n::text) from generate_series(1, 200000) n;
  `,
  written: [{ schema: 'public', name: 'station', token: 'code', version: 'version', seeds: 200 }],
});
