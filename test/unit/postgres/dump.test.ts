import { expect, test } from 'vitest';
import { parseDump, sectionsOf } from '../../../src/postgres/dump.ts';
import type { DumpEntry } from '../../../src/postgres/dump.ts';

const entry = (header: string, body: string, extra = '') => `--\n${header}\n${extra}--\n\n${body}\n\n\n`;
const START = `--
-- PostgreSQL database dump
--

\\restrict abc

-- Dumped from database version 15.20

-- Started on 2026-11-23 04:47:05 UTC

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

`;
const END = `-- Completed on 2026-11-23 04:47:45 UTC

--
-- PostgreSQL database dump complete
--

\\unrestrict abc

`;

test('entries in their order, with what they depend on', () => {
  const text =
    START +
    entry(
      '-- TOC entry 7 (class 2615 OID 16386)\n-- Name: My; odd; Type: SCHEMA; Schema: -; Owner: the; owner',
      'CREATE SCHEMA "My; odd";',
    ) +
    entry(
      '-- TOC entry 215 (class 1259 OID 16390)\n-- Dependencies: 7 8\n-- Name: t; Type: TABLE; Schema: My; odd; Owner: o; Tablespace: fast',
      'CREATE TABLE t ();',
      '-- Data Pos: 0\n',
    ) +
    END;
  expect(parseDump(text)).toEqual([
    {
      id: 7,
      classOid: 2615,
      oid: 16_386,
      dependencies: [],
      type: 'SCHEMA',
      name: 'My; odd',
      schema: null,
      settings: {},
      sql: 'CREATE SCHEMA "My; odd";',
    },
    {
      id: 215,
      classOid: 1259,
      oid: 16_390,
      dependencies: [7, 8],
      type: 'TABLE',
      name: 't',
      schema: 'My; odd',
      settings: {},
      sql: 'CREATE TABLE t ();',
    },
  ]);
});

test('the tablespace and access method set before an entry belong to it and to all that follow', () => {
  const header = (id: number) =>
    `-- TOC entry ${id} (class 1259 OID ${id})\n-- Name: t${id}; Type: TABLE; Schema: s; Owner: o`;
  const text =
    START +
    "SET default_tablespace = '';\n\n" +
    entry(header(1), 'CREATE TABLE s.t1 ();').replace(/\n$/, '') +
    'SET default_tablespace = "My space";\n\nSET default_table_access_method = heap;\n\n' +
    entry(header(2), 'CREATE TABLE s.t2 ();') +
    entry(header(3), 'CREATE TABLE s.t3 ();') +
    END;
  const settings = { default_tablespace: '"My space"', default_table_access_method: 'heap' };
  expect(parseDump(text).map((each) => [each.sql, each.settings])).toEqual([
    ['CREATE TABLE s.t1 ();', { default_tablespace: "''" }],
    ['CREATE TABLE s.t2 ();', settings],
    ['CREATE TABLE s.t3 ();', settings],
  ]);
});

test('text that only looks like a header stays in its function', () => {
  const body = `CREATE FUNCTION f() AS $$\n--\n-- TOC entry 1 (class 1 OID 1)\n--\n\\restrict is a word here\nSET default_tablespace = '';\n$$;`;
  const [only, ...others] = parseDump(
    START + entry('-- TOC entry 3 (class 1255 OID 3)\n-- Name: f(); Type: FUNCTION; Schema: s; Owner: o', body) + END,
  );
  expect(others).toEqual([]);
  expect(only!.sql).toBe(body);
});

test('the option that some minor releases keep for themselves is left out, others stay', () => {
  const sql = [
    'CREATE TABLE s.t (a integer);',
    'ALTER TABLE ONLY s.t ALTER COLUMN a SET (pg_attver=2);',
    'ALTER TABLE ONLY s.t ALTER COLUMN b SET (n_distinct=5, pg_attver=12);',
    'ALTER TABLE ONLY s.t ALTER COLUMN c SET (n_distinct=5);',
    'ALTER TABLE s.t OWNER TO o;',
  ].join('\n');
  const [table] = parseDump(
    START + entry('-- TOC entry 3 (class 1259 OID 3)\n-- Name: t; Type: TABLE; Schema: s; Owner: o', sql) + END,
  );
  expect(table!.sql.split('\n')).toEqual([
    'CREATE TABLE s.t (a integer);',
    'ALTER TABLE ONLY s.t ALTER COLUMN b SET (n_distinct=5);',
    'ALTER TABLE ONLY s.t ALTER COLUMN c SET (n_distinct=5);',
    'ALTER TABLE s.t OWNER TO o;',
  ]);
});

test('the replication role keeps its privileges on the source', () => {
  const sql = 'GRANT SELECT ON TABLE s.t TO pgconvoy_replication;\nGRANT SELECT ON TABLE s.t TO reader;\n';
  const [acl] = parseDump(
    START +
      entry(
        '-- TOC entry 3 (class 0 OID 0)\n-- Dependencies: 2\n-- Name: TABLE t; Type: ACL; Schema: s; Owner: o',
        sql,
      ) +
      END,
  );
  expect(acl!.sql).toBe('GRANT SELECT ON TABLE s.t TO reader;');
});

test('a section without entries', () => {
  expect(parseDump(`${START}SET default_tablespace = '';\n\n${END}`)).toEqual([]);
});

test('the same schema dumped at another time is the same text', () => {
  const dump = (id: number, time: string) =>
    parseDump(
      START +
        entry(
          `-- TOC entry ${id} (class 1259 OID 3)\n-- Name: t; Type: TABLE; Schema: s; Owner: o`,
          'CREATE TABLE s.t ();',
        ) +
        END.replaceAll('04:47:45', time),
    )[0]!.sql;
  expect(dump(1, '05:00:00')).toBe(dump(2, '06:00:00'));
});

test('what comes after the data is told from what comes before it, privileges by what they are on', () => {
  const of = (id: number, type: string, ...dependencies: number[]): DumpEntry => ({
    id,
    type,
    dependencies,
    classOid: 0,
    oid: 0,
    name: type,
    schema: 'public',
    settings: {},
    sql: '',
  });
  const { before, after } = sectionsOf([
    of(1, 'TABLE'),
    of(2, 'COMMENT', 1),
    of(3, 'CONSTRAINT', 1),
    // Needs the primary key for its GROUP BY.
    of(4, 'VIEW', 3),
    of(5, 'COMMENT', 4),
    of(6, 'ACL', 1),
    of(7, 'ACL', 4),
    of(8, 'ACL', 1, 6),
    of(9, 'DEFAULT ACL'),
  ]);
  expect(before.map(({ id }) => id)).toEqual([1, 2, 6, 8]);
  expect(after.map(({ id }) => id)).toEqual([3, 4, 5, 7, 9]);
});
