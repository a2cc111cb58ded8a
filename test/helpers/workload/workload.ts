/** The words of the workload: databases as real applications have them, and what the writers do in them. */
import type { EngineName } from '../../../src/replication/engine.ts';
import type { Major } from '../servers.ts';

export type ChangeKind = 'insert' | 'update' | 'delete';

/** A table the writers change. A row is recognised by its token, and each change of it raises its version by one. */
export interface WrittenTable {
  readonly schema: string;
  readonly name: string;
  /** The text column that holds the token. */
  readonly token: string;
  /** The integer column that holds the version. */
  readonly version: string;
  /** How many rows are there from the start: tokens `seed-1`, `seed-2`, …, version 0. */
  readonly seeds: number;
  /** All three unless said otherwise. */
  readonly kinds?: readonly ChangeKind[];
  /** More columns to fill on insert and on update: expressions, in which `$1` is the token and `$2` the version. */
  readonly insertAlso?: Readonly<Record<string, string>>;
  readonly updateAlso?: Readonly<Record<string, string>>;
}

/** A table that a trigger fills with one row for each change of a written table: fired twice, it shows. */
interface AuditTable {
  readonly schema: string;
  readonly name: string;
  /** The name of the written table it belongs to. */
  readonly of: string;
  readonly token: string;
  readonly version: string;
  /** The text column that holds `insert`, `update` or `delete`. */
  readonly kind: string;
}

interface SequenceName {
  readonly schema: string;
  readonly name: string;
}

export interface WorkloadDatabase {
  readonly name: string;
  readonly owner: RoleName;
  /** What it shows, in a few words. */
  readonly about: string;
  /** CREATE DATABASE … WITH these. */
  readonly options?: string;
  /** Made by a superuser, before anything else. */
  readonly extensions?: readonly string[];
  /** Statements, run as the owner. */
  readonly statements: string;
  /** Statements about the database itself, run by the superuser: settings, privileges, comment. `:db` is its quoted name. */
  readonly settings?: string;
  readonly written: readonly WrittenTable[];
  readonly audits?: readonly AuditTable[];
  /** Large objects that change with the rows of a written table: a column of that table holds their numbers. */
  readonly largeObjects?: { readonly of: string; readonly column: string };
  /** Sequences that no column owns: the writers take values from them. */
  readonly sequences?: readonly SequenceName[];
}

/** A database for a source of this major and this engine: not all of them know all things. */
export type DatabaseMaker = (major: Major, engine: EngineName) => WorkloadDatabase;

/** No superuser among them. Passwords are awkward on purpose: the same must open the target. */
export const roles = {
  harbour_owner: { password: 'owner of "all" ships', attributes: 'login createdb' },
  harbour_app: { password: `app's 100% "sécret"\\:@/?`, attributes: 'login connection limit 150' },
  harbour_reader: { password: 'read only', attributes: "login valid until '2040-01-01 00:00:00+00'" },
  'Harbour Crew': { password: undefined, attributes: 'nologin' },
  "käpt'n 100%": { password: '舵', attributes: 'login noinherit createrole' },
} as const;
type RoleName = keyof typeof roles;

/** The role that the writers log in as. */
export const writerRole = { user: 'harbour_app', password: roles.harbour_app.password } as const;

/** The role statements, beside the roles themselves. */
export const roleStatements = `
  grant "Harbour Crew" to harbour_app, harbour_reader;
  grant "Harbour Crew" to "käpt'n 100%" with admin option;
  grant pg_monitor to harbour_reader;
  alter role harbour_reader set statement_timeout = '10min';
  alter role "käpt'n 100%" set search_path = '"$user"', 'public', 'Weird.Schema';
  comment on role harbour_app is 'The application; it is no superuser';
`;
