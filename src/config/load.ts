import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import type { ServerAddress } from '../postgres/connection.ts';
import { findConfigPassword } from './config-password.ts';
import { ConnectionStringError, parseConnectionString, portOf, sslModeOf, timeoutOf } from './connection-string.ts';
import type { ConnectionParts } from './connection-string.ts';
import { decryptValues } from './decrypt.ts';
import { pathFrom, readText, systemUser, variable } from './environment.ts';
import type { Environment } from './environment.ts';
import { keysAt, placesOfKey } from './keys.ts';
import { firstLine, openToOthers, passwordFromPgpass } from './password.ts';
import type { PasswordQuery } from './password.ts';
import { configError, didYouMean } from './problems.ts';
import type { Problem } from './problems.ts';
import { Config } from './schema.ts';
import type { ConfigInput, Settings } from './schema.ts';
import { sslOptions } from './ssl.ts';
import { readYamlFile } from './yaml-file.ts';
import type { Path, YamlFile } from './yaml-file.ts';

/** What the command line says in place of the file. */
export interface ConfigFlags {
  /** A connection string of libpq: a URL, or key=value pairs. */
  readonly source?: string | undefined;
  readonly target?: string | undefined;
  /** redis://… */
  readonly queue?: string | undefined;
  /** auto, native or pglogical. */
  readonly engine?: string | undefined;
}

export interface LoadOptions {
  /** `--config`. */
  readonly path?: string | undefined;
  readonly env: Environment;
  readonly flags?: ConfigFlags;
  /** Where ./pgconvoy.yaml is looked for; the current folder unless said otherwise. */
  readonly cwd?: string;
  /** The password of encrypted values, as a person has typed it. */
  readonly configPassword?: string | undefined;
  /** `--config-password-file`. */
  readonly configPasswordFile?: string | undefined;
}

export interface LoadedConfig {
  /** The file that was read (absolute), or undefined where flags and environment were enough. */
  readonly file: string | undefined;
  readonly flags: ConfigFlags;
  /** With every secret resolved: never log it. */
  readonly config: Config;
  readonly addresses: { readonly source: ServerAddress; readonly target: ServerAddress };
  /** What operations get to see: no address of the queue, no secret. */
  readonly settings: Settings;
  /** For the person who runs the command; nothing that stops it. */
  readonly warnings: readonly string[];
  /** With which encrypted values were opened, for a worker that this process starts: never log it. */
  readonly configPassword: string | undefined;
}

type Side = 'source' | 'target';

/**
 * Reads the configuration: `--config`, else PGCONVOY_CONFIG, else ./pgconvoy.yaml where there is one, else flags and
 * environment alone. Nothing but files is touched.
 *
 * Who says where a server is: the flag, else the file; what they leave out comes from libpq's variables (PGHOST, PGPORT, PGUSER,
 * PGDATABASE, PGPASSWORD, PGSSLMODE, PGSSLROOTCERT, PGCONNECT_TIMEOUT), for both sides alike, then .pgpass, then
 * libpq's defaults. But where a cluster is must be said: PGHOST and PGPORT alone name the source (as for psql), never the target.
 * Encrypted values are opened with the password that was typed, or that a variable or a file holds.
 * @see https://www.postgresql.org/docs/current/libpq-envars.html
 * @throws ConfigError that lists everything that is wrong, each with its place and remedy; PasswordNeeded
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const { env } = options;
  const cwd = options.cwd ?? process.cwd();
  const named = options.path ?? variable(env, 'PGCONVOY_CONFIG');
  const usual = resolve(cwd, 'pgconvoy.yaml');
  const file = named === undefined ? (existsSync(usual) ? usual : undefined) : pathFrom(cwd, named);
  return resolveConfig(file === undefined ? NO_FILE : readYamlFile(file, env), file, options);
}

/**
 * The same for a configuration that is in no file yet. Relative paths start at `cwd`.
 * @throws ConfigError
 */
export function loadInput(input: ConfigInput, options: Pick<LoadOptions, 'env' | 'cwd'>): LoadedConfig {
  return resolveConfig({ ...NO_FILE, value: input }, undefined, options);
}

/** Checks what was read, and fills in what the environment says. */
function resolveConfig(yaml: YamlFile, file: string | undefined, options: LoadOptions): LoadedConfig {
  const { env, flags = {}, cwd = process.cwd() } = options;
  const problems: Problem[] = [...yaml.problems];
  const decrypted = decryptValues(withFlags(yaml.value, flags, problems), {
    file: file ?? 'the configuration',
    password: () => findConfigPassword({ ...options, cwd }),
    placeOf: yaml.placeOf,
  });
  const given = withQueueAddress(decrypted.value);
  problems.push(...decrypted.problems);
  const overridden = (path: Path) =>
    (['source', 'target', 'queue', 'engine'] as const).some((key) => path[0] === key && flags[key] !== undefined);
  const placeOf = (path: Path) => (overridden(path) ? `--${String(path[0])}` : yaml.placeOf(path));
  const config = problems.length === 0 ? validate(given, yaml, problems, placeOf) : undefined;
  if (!config) throw configError(problems);

  const warnings: string[] = [...(decrypted.password?.warnings ?? [])];
  const scope: Scope = { env, folder: file === undefined ? cwd : dirname(file), given, placeOf, problems, warnings };
  const source = resolveServer('source', config.source, scope);
  const target = resolveServer('target', config.target, scope);
  const queue = resolveQueue(config, scope);
  const board = resolveBoard(config, scope);
  const pgbouncer = config.cutover.pgbouncer.map((each, index) => resolvePgBouncer(each, index, scope));
  const webhooks = resolveWebhooks(config, scope);
  const fixed = (path: string | undefined) => (path === undefined ? undefined : pathFrom(scope.folder, path));
  if (!source || !target || problems.length > 0) throw configError(problems);

  const { fromTarget } = config.source;
  const { fromSource } = config.target;
  const complete: Config = {
    ...config,
    source: {
      ...config.source,
      ...source.resolved,
      fromTarget: {
        host: fromTarget.host ?? source.address.host,
        port: fromTarget.port ?? source.address.port,
        sslmode: fromTarget.sslmode ?? source.resolved.sslmode,
      },
    },
    target: {
      ...config.target,
      ...target.resolved,
      fromSource: {
        host: fromSource.host ?? target.address.host,
        port: fromSource.port ?? target.address.port,
        sslmode: fromSource.sslmode ?? target.resolved.sslmode,
      },
    },
    queue,
    cutover: { ...config.cutover, pgbouncer },
    board,
    notifications: { ...config.notifications, webhooks },
    tools: { bin: fixed(config.tools.bin) },
    state: fixed(config.state),
  };
  return {
    file,
    flags,
    config: complete,
    addresses: { source: source.address, target: target.address },
    settings: settingsOf(complete),
    warnings,
    configPassword: decrypted.password?.password,
  };
}

/** The part of the configuration that operations may see. */
function settingsOf(config: Config): Settings {
  const { engine, replication, fix, budgets, deadlines, comparison, notReplicated, accept, databases } = config;
  const { hooks: _hooks, pgbouncer: _pgbouncer, ...cutover } = config.cutover;
  return {
    engine,
    replication,
    fix,
    budgets,
    deadlines,
    cutover,
    comparison,
    notReplicated,
    accept,
    databases,
    source: { fromTarget: config.source.fromTarget },
    target: { fromSource: config.target.fromSource },
  };
}

const NO_FILE: YamlFile = {
  value: {},
  problems: [],
  expanded: new Set(),
  placeOf: () => 'the configuration',
  placeOfKey: () => 'the configuration',
};

/** A flag replaces the whole section: a password of the file must not go to another server. Only the timeout stays. */
function withFlags(value: unknown, flags: ConfigFlags, problems: Problem[]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const given: Record<string, unknown> = { ...value };
  for (const side of ['source', 'target'] as const) {
    const flag = flags[side];
    if (flag === undefined) continue;
    const kept = z.looseObject({ connectTimeout: z.unknown() }).safeParse(given[side]);
    const connectTimeout = kept.data?.connectTimeout;
    const read = readFlag(side, flag);
    if ('problem' in read) problems.push(read.problem);
    else given[side] = { ...(connectTimeout === undefined ? {} : { connectTimeout }), ...read.parts };
  }
  if (flags.queue !== undefined) given['queue'] = { ...prefixOf(given['queue']), url: flags.queue };
  if (flags.engine !== undefined) given['engine'] = flags.engine;
  return given;
}

/**
 * What `--source` or `--target` says.
 * @throws ConfigError
 */
export function partsOfFlag(side: Side, flag: string): ConnectionParts {
  const read = readFlag(side, flag);
  if ('problem' in read) throw configError([read.problem]);
  return read.parts;
}

type FlagRead = { readonly parts: ConnectionParts } | { readonly problem: Problem };

function readFlag(side: Side, flag: string): FlagRead {
  try {
    return { parts: parseConnectionString(flag) };
  } catch (error) {
    if (!(error instanceof ConnectionStringError)) throw error;
    return {
      problem: {
        place: `--${side}`,
        message: `this connection string is not understood: ${error.message}`,
        remedy: `Give one as psql takes it, e.g. --${side} postgres://user@host:5432/postgres`,
      },
    };
  }
}

/** `queue: redis://…` stands for `queue: { url: redis://… }`. */
function withQueueAddress(value: unknown): unknown {
  const queue = z.looseObject({ queue: z.string() }).safeParse(value).data?.queue;
  return queue === undefined ? value : { ...(value as object), queue: { url: queue } };
}

function prefixOf(queue: unknown): { readonly prefix?: unknown } {
  const prefix = z.looseObject({ prefix: z.unknown() }).safeParse(queue).data?.prefix;
  return prefix === undefined ? {} : { prefix };
}

function validate(
  given: unknown,
  yaml: YamlFile,
  problems: Problem[],
  placeOf: (path: Path) => string,
): Config | undefined {
  const first = Config.safeParse(given);
  const result = first.success ? first : Config.safeParse(asMeant(given, first.error.issues, yaml));
  if (result.success) return result.data;
  for (const issue of result.error.issues) problems.push(...problemsOf(issue, given, yaml, placeOf));
  return undefined;
}

/**
 * `port: ${PORT}` is text after the expansion: where a number is expected and the text is one, it becomes one. A section whose keys
 * are all commented out is empty, not wrong.
 */
function asMeant(given: unknown, issues: readonly z.core.$ZodIssue[], yaml: YamlFile): unknown {
  const copy: unknown = structuredClone(given);
  for (const issue of issues) {
    const path = issue.path as Path;
    const value = valueAt(given, path);
    if (issue.code !== 'invalid_type' || path.length === 0) continue;
    const parent = valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown>;
    const isNumber = typeof value === 'string' && /^\d{1,15}$/.test(value);
    if (isNumber && yaml.expanded.has(JSON.stringify(path))) parent[path.at(-1)!] = Number(value);
    if (value === null && issue.expected === 'object') parent[path.at(-1)!] = {};
  }
  return copy;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string | number, unknown> | null | undefined)?.[key], value);
}

function problemsOf(
  issue: z.core.$ZodIssue,
  given: unknown,
  yaml: YamlFile,
  placeOf: (path: Path) => string,
): Problem[] {
  const path = issue.path as Path;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      place: yaml.placeOfKey(path, key),
      message: `unknown key "${[...path, key].join('.')}"`,
      remedy: remedyForKey(path, key),
    }));
  }
  const name = path.join('.');
  const value = valueAt(given, path);
  return [
    {
      place: placeOf(path),
      message: `${name === '' ? 'the file' : name}: ${expectation(issue)}, but this is ${described(issue, value)}`,
      remedy: remedyForValue(issue, value),
    },
  ];
}

function remedyForKey(path: Path, key: string): string {
  const near = didYouMean(key, keysAt(path));
  if (near !== undefined) return `Did you mean "${near}"?`;
  const elsewhere = placesOfKey(key);
  if (elsewhere.length > 0) return `"${key}" belongs under ${elsewhere.join(' or ')}.`;
  return `Known ${path.length === 0 ? 'at the top' : `under ${path.join('.')}`} are ${keysAt(path).join(', ')}.`;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text is expected',
  number: 'a whole number is expected',
  int: 'a whole number is expected',
  object: 'a section with keys is expected',
  array: 'a list is expected, e.g. [one, two]',
  boolean: 'true or false is expected',
};

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return KINDS[issue.expected] ?? `${issue.expected} is expected`;
    case 'invalid_value':
      return `one of ${issue.values.join(', ')} is expected`;
    case 'too_small':
      return issue.origin === 'string' ? `${issue.message} is expected` : `at least ${issue.minimum} is expected`;
    case 'too_big':
      return `at most ${issue.maximum} is expected`;
    default:
      return `${issue.message} is expected`;
  }
}

/** What stands there: its kind, and its text only where that cannot be a secret. */
function described(issue: z.core.$ZodIssue, value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a section';
  if (typeof value !== 'string') {
    const secret = issue.code === 'invalid_type' && issue.expected === 'string';
    return secret ? `a ${typeof value}` : `the ${typeof value} ${String(value)}`;
  }
  const harmless = (issue.code === 'invalid_value' || issue.code === 'invalid_format') && issue.path.at(-1) !== 'url';
  return harmless ? `"${value}"` : 'another text';
}

function remedyForValue(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === 'invalid_type' && issue.expected === 'string' && value !== null) return 'Put the value in quotes.';
  if (issue.code === 'invalid_value' && typeof value === 'string') {
    const near = didYouMean(value, issue.values.map(String));
    if (near !== undefined) return `Did you mean "${near}"?`;
  }
  if (issue.code === 'invalid_type' && typeof value === 'string' && /^\d+$/.test(value))
    return 'Write the number without quotes.';
  return 'See config.example.yaml for this key, its meaning and its default.';
}

interface Scope {
  readonly env: Environment;
  /** Relative paths start here. */
  readonly folder: string;
  /** The configuration as it was written, without defaults: what is not there, the environment may say. */
  readonly given: unknown;
  readonly placeOf: (path: Path) => string;
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** What both sides have. */
type Server = Omit<Config['target'], 'fromSource'>;

interface ResolvedServer {
  readonly address: ServerAddress;
  readonly resolved: Server;
}

function resolveServer(side: Side, server: Server, scope: Scope): ResolvedServer | undefined {
  const { env, problems } = scope;
  const written = (key: string) => valueAt(scope.given, [side, key]) !== undefined;
  const fromEnvironment = environmentParts(env, problems);

  const said = server.host !== undefined || server.port !== undefined;
  const saidByEnvironment =
    side === 'source' && (fromEnvironment.host !== undefined || fromEnvironment.port !== undefined);
  if (!said && !saidByEnvironment) {
    problems.push({
      place: side,
      message: `nothing says where the ${side} is (the cluster to ${side === 'source' ? 'leave' : 'move to'})`,
      remedy: `Set ${side}.host in pgconvoy.yaml, or give --${side} postgres://user@host:5432/postgres`,
    });
    return undefined;
  }

  const host = server.host ?? fromEnvironment.host ?? 'localhost';
  const port = server.port ?? fromEnvironment.port ?? 5432;
  const user = server.user ?? fromEnvironment.user ?? systemUser(env);
  const database = written('database') ? server.database : (fromEnvironment.database ?? server.database);
  const sslmode = written('sslmode') ? server.sslmode : (fromEnvironment.sslmode ?? server.sslmode);
  const connectTimeout = written('connectTimeout')
    ? server.connectTimeout
    : (milliseconds(fromEnvironment.connectTimeout) ?? server.connectTimeout);
  const certificate = server.sslrootcert ?? fromEnvironment.sslrootcert;
  const sslrootcert =
    certificate === undefined || certificate === 'system' ? certificate : pathFrom(scope.folder, certificate);
  if (user === undefined) {
    problems.push({
      place: scope.placeOf([side]),
      message: `${side}: nothing says which user connects`,
      remedy: `Set ${side}.user, or PGUSER.`,
    });
    return undefined;
  }
  const password = passwordOf(side, server, { host, port, database, user }, scope);
  const tls = sslOptions({ host, sslmode, sslrootcert }, env);
  if ('failure' in tls) {
    const key = server.sslrootcert === undefined ? 'sslmode' : 'sslrootcert';
    problems.push({ place: scope.placeOf([side, key]), message: `${side}: ${tls.failure}`, remedy: tls.remedy });
    return undefined;
  }
  return {
    address: { host, port, user, password, ssl: tls.ssl, sslmode, sslrootcert, connectTimeoutMs: connectTimeout },
    resolved: {
      ...server,
      host,
      port,
      user,
      password,
      passwordFile: undefined,
      database,
      sslmode,
      sslrootcert,
      connectTimeout,
    },
  };
}

const milliseconds = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : text.endsWith('h') ? 3_600_000 : Number(text.slice(0, -1)) * 1_000;

/** What libpq's variables say, with their mistakes reported by name. */
function environmentParts(env: Environment, problems: Problem[]): ConnectionParts {
  const read = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const text = variable(env, name);
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof ConnectionStringError)) throw error;
      problems.push({
        place: name,
        message: error.message.replace(/^its/, 'the'),
        remedy: `Correct the environment variable ${name}, or unset it.`,
      });
      return undefined;
    }
  };
  const same = (text: string) => text;
  const parts = {
    host: read('PGHOST', same),
    port: read('PGPORT', portOf),
    user: read('PGUSER', same),
    database: read('PGDATABASE', same),
    sslmode: read('PGSSLMODE', sslModeOf),
    sslrootcert: read('PGSSLROOTCERT', same),
    connectTimeout: read('PGCONNECT_TIMEOUT', timeoutOf),
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
}

/** The file's password, else its passwordFile, else PGPASSWORD, else .pgpass; none is fine for trust, peer and the like. */
function passwordOf(side: Side, server: Server, query: PasswordQuery, scope: Scope): string | undefined {
  if (server.password !== undefined) {
    if (server.passwordFile !== undefined) twice([side], scope);
    return server.password;
  }
  if (server.passwordFile !== undefined) return passwordFromFile([side, 'passwordFile'], server.passwordFile, scope);
  const fromEnvironment = variable(scope.env, 'PGPASSWORD');
  if (fromEnvironment !== undefined) return fromEnvironment;
  return pgpass(query, scope);
}

function pgpass(query: PasswordQuery, scope: Scope): string | undefined {
  const found = passwordFromPgpass(query, scope.env);
  if (found.warning !== undefined && !scope.warnings.includes(found.warning)) scope.warnings.push(found.warning);
  return found.password;
}

function twice(section: Path, scope: Scope, key = 'password'): void {
  scope.problems.push({
    place: scope.placeOf([...section, `${key}File`]),
    message: `${section.join('.')}: both ${key} and ${key}File are given`,
    remedy: 'Remove one of them.',
  });
}

function passwordFromFile(path: Path, written: string, scope: Scope, what = 'password'): string | undefined {
  const file = pathFrom(scope.folder, written);
  const read = readText(file);
  if ('failure' in read || firstLine(read.text) === '') {
    scope.problems.push({
      place: scope.placeOf(path),
      message: `${path.join('.')}: ${file} ${'failure' in read ? `cannot be read: ${read.failure}` : `holds no ${what} in its first line`}`,
      remedy: `Correct the path, or write the ${what} into that file (chmod 0600).`,
    });
    return undefined;
  }
  // Not refused, as .pgpass is: what an orchestrator mounts as a secret is often readable by all.
  if (openToOthers(file)) scope.warnings.push(`${path.join('.')}: others may read ${file} (chmod 0600 "${file}")`);
  return firstLine(read.text);
}

function resolveQueue(config: Config, scope: Scope): Config['queue'] {
  const { queue } = config;
  const { passwordFile } = queue;
  if (passwordFile !== undefined && queue.password !== undefined) twice(['queue'], scope);
  const password =
    passwordFile === undefined ? queue.password : passwordFromFile(['queue', 'passwordFile'], passwordFile, scope);
  const resolved = { ...queue, password, passwordFile: undefined };
  return /^postgres(ql)?:/.test(queue.url ?? '') ? resolvePostgresQueue(resolved, scope) : resolved;
}

/** What its URL leaves out comes from where a cluster's comes from; where it is must be said. */
function resolvePostgresQueue(queue: Config['queue'], scope: Scope): Config['queue'] {
  const wrong = (message: string, remedy: string) => {
    scope.problems.push({ place: scope.placeOf(['queue', 'url']), message: `queue.url: ${message}`, remedy });
    return queue;
  };
  let parts: ConnectionParts;
  try {
    parts = parseConnectionString(queue.url!);
  } catch (error) {
    if (!(error instanceof ConnectionStringError)) throw error;
    return wrong(`this address is not understood: ${error.message}`, 'Write postgres://user@host:5432/database.');
  }
  if (parts.host === undefined) return wrong('it names no host', 'Write postgres://user@host:5432/database.');
  const { env } = scope;
  const { host, port = 5_432, user = variable(env, 'PGUSER') ?? systemUser(env), sslmode = 'prefer' } = parts;
  if (user === undefined) return wrong('it names no user', 'Write postgres://user@host:5432/database.');
  const database = parts.database ?? 'postgres';
  const certificate = parts.sslrootcert;
  const sslrootcert =
    certificate === undefined || certificate === 'system' ? certificate : pathFrom(scope.folder, certificate);
  const tls = sslOptions({ host, sslmode, sslrootcert }, env);
  if ('failure' in tls) return wrong(tls.failure, tls.remedy);
  const password =
    queue.password ?? parts.password ?? variable(env, 'PGPASSWORD') ?? pgpass({ host, port, database, user }, scope);
  const connectTimeoutMs = milliseconds(parts.connectTimeout) ?? 10_000;
  const place = host.startsWith('/') ? host : `//${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    ...queue,
    password,
    server: {
      host,
      port,
      user,
      password,
      database,
      ssl: tls.ssl,
      sslmode,
      sslrootcert,
      connectTimeoutMs,
      shown: `postgres:${place}/${database}`,
    },
  };
}

function resolvePgBouncer(given: Config['cutover']['pgbouncer'][number], index: number, scope: Scope): typeof given {
  const { host, port, user } = given;
  const path: Path = ['cutover', 'pgbouncer', index];
  const resolved = { ...given, file: pathFrom(scope.folder, given.file), passwordFile: undefined };
  if (given.passwordFile === undefined) {
    if (given.password !== undefined) return resolved;
    return { ...resolved, password: pgpass({ host, port, database: 'pgbouncer', user }, scope) };
  }
  if (given.password !== undefined) twice(path, scope);
  return { ...resolved, password: passwordFromFile([...path, 'passwordFile'], given.passwordFile, scope) };
}

function resolveBoard(config: Config, scope: Scope): Config['board'] {
  const { board } = config;
  const secret = (key: 'password' | 'token') => {
    const file = board[`${key}File`];
    if (file === undefined) return board[key];
    if (board[key] !== undefined) twice(['board'], scope, key);
    return passwordFromFile(['board', `${key}File`], file, scope, key);
  };
  return {
    ...board,
    password: secret('password'),
    passwordFile: undefined,
    token: secret('token'),
    tokenFile: undefined,
  };
}

function resolveWebhooks({ notifications: { webhooks } }: Config, scope: Scope): typeof webhooks {
  return webhooks.map((webhook, index) => {
    const path: Path = ['notifications', 'webhooks', index];
    const problem = (key: string, message: string, remedy: string) =>
      scope.problems.push({ place: scope.placeOf([...path, key]), message: `${path.join('.')}: ${message}`, remedy });
    const { name, url, urlFile } = webhook;
    if (webhooks.findIndex((other) => other.name === name) < index)
      problem('name', `another one is named "${name}" already`, 'Give each webhook a name of its own.');
    if (url !== undefined && urlFile !== undefined) twice(path, scope, 'url');
    if (url === undefined && urlFile === undefined)
      problem('name', 'it has no address', 'Set its url, or its urlFile, a file whose first line is the address.');
    const address =
      url ?? (urlFile === undefined ? undefined : passwordFromFile([...path, 'urlFile'], urlFile, scope, 'address'));
    if (address !== undefined && !/^https?:$/.test(URL.canParse(address) ? new URL(address).protocol : ''))
      problem(
        url === undefined ? 'urlFile' : 'url',
        'this is no address',
        'Write it like https://hooks.internal/pgconvoy',
      );
    return { ...webhook, url: address, urlFile: undefined };
  });
}
