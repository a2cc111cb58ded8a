import { access, constants, readdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { ConfigError, PgconvoyError, UnreachableError } from '../errors.ts';
import type { Cluster } from './cluster.ts';
import type { ServerAddress } from './connection.ts';

export interface ProgramVersion {
  /** Folder that holds the programs. */
  readonly bin: string;
  /** `pg_dump --version`'s number, e.g. 18.6. */
  readonly version: string;
  readonly major: number;
}

/** PostgreSQL's client programs: the newest found on this machine, passwords by their environment only. */
export interface Programs {
  /** @throws ConfigError where there is no pg_dump. */
  version(): Promise<ProgramVersion>;
  /** Dumps the schema of a database into a file of the custom format. */
  dumpSchema(
    cluster: Cluster,
    database: string,
    file: string,
    contents: DumpContents,
    signal: AbortSignal,
  ): Promise<void>;
  /** The SQL of such a file, with `-- TOC entry` comments (pg_restore --verbose). */
  dumpedSql(file: string, signal: AbortSignal): Promise<string>;
}

/** What there is to dump; without it pg_dump reads every comment of the system's own objects, and a view of all labels. */
interface DumpContents {
  readonly comments: boolean;
  readonly labels: boolean;
}

/** Loaded when a program is run: it is large, and most commands run none. */
const loadExeca = async () => (await import('execa')).execa;

/** How long pg_dump waits for a table that somebody holds exclusively. */
const LOCK_WAIT_MS = 10_000;
/** A schema of some hundred thousand objects is about this long. */
const MOST_OUTPUT_BYTES = 500_000_000;

/**
 * PostgreSQL's programs of this machine. Looked for in `bin` alone where it is given; else on PATH, where Debian and PGDG put
 * them, and in the folders that PGCONVOY_PG<major>_BIN name: the newest wins, since pg_dump reads older servers only.
 * @see https://www.postgresql.org/docs/current/app-pgdump.html
 */
export function createPrograms(options: { readonly bin?: string | undefined } = {}): Programs {
  let found: Promise<ProgramVersion> | undefined;
  const version = () => {
    found ??= newest(options.bin).catch((error: unknown) => {
      // What is missing now may be installed before the next attempt.
      found = undefined;
      throw error;
    });
    return found;
  };
  return {
    version,

    async dumpSchema(cluster, database, file, { comments, labels }, signal) {
      const programs = await version();
      const args = ['--schema-only', '--format=custom', `--file=${file}`, '--encoding=UTF8', '--no-password'];
      // Publications and subscriptions would replicate a second time, and enable themselves; schema pgconvoy is our ledger.
      args.push('--no-publications', '--no-subscriptions', '--exclude-schema=pgconvoy');
      if (!comments && programs.major >= 11) args.push('--no-comments');
      if (!labels) args.push('--no-security-labels');
      args.push(`--lock-wait-timeout=${LOCK_WAIT_MS}`);
      try {
        const execa = await loadExeca();
        await execa(join(programs.bin, 'pg_dump'), args, {
          env: { ...plainEnvironment(), ...connectionEnvironment(cluster.address, database) },
          extendEnv: false,
          stdin: 'ignore',
          cancelSignal: signal,
        });
      } catch (error) {
        signal.throwIfAborted();
        throw dumpError(error, programs, `${cluster.side}, database "${database}"`);
      }
    },

    async dumpedSql(file, signal) {
      const { bin } = await version();
      try {
        const execa = await loadExeca();
        const { stdout } = await execa(join(bin, 'pg_restore'), ['--schema-only', '--verbose', '--file=-', file], {
          env: plainEnvironment(),
          extendEnv: false,
          stdin: 'ignore',
          stderr: 'pipe',
          stripFinalNewline: false,
          maxBuffer: MOST_OUTPUT_BYTES,
          cancelSignal: signal,
        });
        return stdout;
      } catch (error) {
        signal.throwIfAborted();
        throw new PgconvoyError(`pg_restore could not read the dump: ${lastLines(error)}`, {
          hint: 'See that the folder for temporary files has room (TMPDIR), then retry the step.',
          disposition: 'retry',
          cause: error,
        });
      }
    },
  };
}

async function newest(bin: string | undefined): Promise<ProgramVersion> {
  const folders = bin === undefined ? await usualFolders() : [bin];
  const versions = await Promise.all(folders.map((folder) => versionIn(folder)));
  const [best] = versions.filter((each) => each !== undefined).toSorted(newestFirst);
  if (best) return best;
  throw new ConfigError(
    bin === undefined
      ? 'pg_dump and pg_restore were not found on this machine: neither on PATH nor in /usr/lib/postgresql/*/bin or /usr/pgsql-*/bin'
      : `pg_dump and pg_restore were not found in ${bin}, which the configuration names (tools.bin)`,
    {
      hint:
        "Install the client programs of the target's major (Debian: apt-get install postgresql-client-18, Red Hat: " +
        'dnf install postgresql18) on every machine with a worker, or name their folder in the configuration: tools: { bin: /path }.',
    },
  );
}

const newestFirst = (one: ProgramVersion, other: ProgramVersion): number =>
  other.major - one.major || Number(other.version.split('.')[1] ?? 0) - Number(one.version.split('.')[1] ?? 0);

async function usualFolders(): Promise<string[]> {
  const under = async (parent: string, pattern: RegExp, rest: string) =>
    (await readdir(parent).catch(() => []))
      .filter((name) => pattern.test(name))
      .map((name) => join(parent, name, rest));
  const named = Object.entries(process.env).filter(([name, value]) => /^PGCONVOY_PG\d+_BIN$/.test(name) && value);
  const folders = [
    ...named.map(([, value]) => value!),
    ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...(await under('/usr/lib/postgresql', /^\d+$/, 'bin')),
    ...(await under('/usr', /^pgsql-\d+$/, 'bin')),
  ];
  return [...new Set(folders)];
}

/** Undefined where one of the two programs is missing or does not run. */
async function versionIn(bin: string): Promise<ProgramVersion | undefined> {
  const programs = ['pg_dump', 'pg_restore'].map((name) => join(bin, name));
  try {
    await Promise.all(programs.map((program) => access(program, constants.X_OK)));
    const execa = await loadExeca();
    const { stdout } = await execa(programs[0]!, ['--version'], { env: plainEnvironment(), extendEnv: false });
    const [, version] = /\(PostgreSQL\) (\d+(?:\.\d+)*)/.exec(stdout) ?? [];
    return version === undefined ? undefined : { bin, version, major: Number.parseInt(version, 10) };
  } catch {
    return undefined;
  }
}

/** Nothing of libpq's own variables gets through: what counts is the address we were given. Messages come in English. */
export function plainEnvironment(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LD_LIBRARY_PATH'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

/**
 * Everything about the connection, and above all the password, travels in the environment: arguments are seen by everybody
 * on the machine, and a database called "a=b" would be taken for a connection string.
 * @see https://www.postgresql.org/docs/current/libpq-envars.html
 */
function connectionEnvironment(address: ServerAddress, database: string): Record<string, string> {
  return {
    PGHOST: address.host,
    PGPORT: String(address.port),
    PGUSER: address.user,
    PGDATABASE: database,
    PGSSLMODE: libpqSslMode(address),
    PGCONNECT_TIMEOUT: String(Math.max(2, Math.ceil(address.connectTimeoutMs / 1_000))),
    PGAPPNAME: 'pgconvoy/pg_dump',
    // A database may have set it off; then the dump would be written for sessions like that.
    PGOPTIONS: '-c standard_conforming_strings=on',
    ...(address.password === undefined ? {} : { PGPASSWORD: address.password }),
    ...(address.sslrootcert === undefined ? {} : { PGSSLROOTCERT: address.sslrootcert }),
  };
}

/**
 * What libpq calls the TLS that this address stands for.
 * @see https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
 */
export function libpqSslMode(address: ServerAddress): string {
  if (address.sslmode !== undefined) return address.sslmode;
  if (address.ssl === false) return 'disable';
  return address.ssl.rejectUnauthorized === false ? 'require' : 'verify-full';
}

function dumpError(error: unknown, programs: ProgramVersion, place: string): PgconvoyError {
  const said = lastLines(error);
  const message = `${place}: pg_dump ${programs.version} failed: ${said}`;
  if (said.includes('server version mismatch')) {
    return new ConfigError(message, {
      hint: "Install pg_dump and pg_restore of the target's major on this machine, or name their folder in tools.bin.",
      cause: error,
    });
  }
  if (said.includes('lock timeout') || said.includes('could not obtain lock')) {
    return new PgconvoyError(message, {
      hint: 'Somebody holds a table of that database exclusively; end that session or wait, then retry the step.',
      disposition: 'wait',
      cause: error,
    });
  }
  if (/connection to server|could not connect|terminating connection|server closed the connection/.test(said)) {
    return new UnreachableError(message, {
      hint: 'See that the server is up and reachable from this machine.',
      cause: error,
    });
  }
  return new PgconvoyError(message, {
    hint: 'Mend the cause that pg_dump names (a privilege, an object that is broken), then retry the step.',
    cause: error,
  });
}

/** What the program said at last; its command line holds nothing secret, but nothing of use either. */
function lastLines(error: unknown): string {
  const { stderr: output } = error as { readonly stderr?: unknown };
  const stderr = typeof output === 'string' ? output.trim() : '';
  if (stderr !== '')
    return stderr
      .split('\n')
      .slice(-4)
      .join(' | ')
      .replaceAll(/pg_(?:dump|restore): (?:error: )?/g, '');
  const { shortMessage } = error as { readonly shortMessage?: unknown };
  return typeof shortMessage === 'string' ? shortMessage : String(error);
}
