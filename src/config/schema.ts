import * as z from 'zod';
import type { QueueAddress } from '../postgres/queue-server.ts';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** `500ms`, `30s`, `10m`, `2h`; in the program milliseconds. */
export const duration = (fallback: string) =>
  z
    .string()
    .regex(/^\d+(ms|s|m|h)$/, 'a duration like 500ms, 30s, 10m or 2h')
    .default(fallback)
    .transform((text) => {
      const [, amount, unit] = /^(\d+)(ms|s|m|h)$/.exec(text)!;
      return Number(amount) * UNITS[unit as keyof typeof UNITS];
    });

const SIZES = { kB: 1_024, MB: 1_024 ** 2, GB: 1_024 ** 3, TB: 1_024 ** 4 } as const;

/** `512MB`, as PostgreSQL writes it; in the program bytes. */
const size = (fallback: string) =>
  z
    .string()
    .regex(/^\d+(kB|MB|GB|TB)$/, 'a size like 64MB or 2GB')
    .default(fallback)
    .transform((text) => {
      const [, amount, unit] = /^(\d+)(kB|MB|GB|TB)$/.exec(text)!;
      return Number(amount) * SIZES[unit as keyof typeof SIZES];
    });

const Port = z.int().min(1).max(65_535);

/** @see https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION */
export const SslMode = z.enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full']);
export type SslMode = z.output<typeof SslMode>;

/** One cluster. What is left out comes from libpq's environment (PGHOST, …), then .pgpass, then libpq's defaults. */
const ServerConfig = z.strictObject({
  /** A name, an address, or the folder of a unix socket. */
  host: z.string().min(1, 'a host name, an address, or the folder of a unix socket').optional(),
  port: Port.optional(),
  user: z.string().min(1, 'the name of a role').optional(),
  password: z.string().optional(),
  /** A file whose first line is the password. */
  passwordFile: z.string().optional(),
  /** The maintenance database: cluster-wide statements, and schema pgconvoy with the ledger. */
  database: z.string().min(1, 'the name of a database').default('postgres'),
  sslmode: SslMode.default('prefer'),
  /** The certificates to trust: a file, or `system` for those of this machine. */
  sslrootcert: z.string().optional(),
  connectTimeout: duration('10s'),
});

/** How a table's rows shall be told apart; `index:NAME` becomes the name of the index. */
const IdentityWish = z
  .string()
  .regex(/^(auto|full|surrogate-key|skip|index:.+)$/s, 'auto, full, surrogate-key, skip, or index:NAME')
  .transform((text) =>
    text.startsWith('index:')
      ? { by: 'index' as const, index: text.slice('index:'.length) }
      : { by: text as 'auto' | 'full' | 'surrogate-key' | 'skip' },
  );
export type IdentityWish = z.output<typeof IdentityWish>;

/** A finding that shall not block. */
const Acceptance = z.union(
  [
    z.string(),
    z.strictObject({
      finding: z.string(),
      database: z.string().optional(),
      reason: z.string().regex(/\S/, 'a reason'),
    }),
  ],
  { error: 'a code like large-objects, or { finding: large-objects, database: billing, reason: why }' },
);
export type Acceptance = z.output<typeof Acceptance>;

const HookConfig = z.strictObject({
  at: z.enum(['before-fence', 'fenced', 'before-open', 'opened', 'rolled-back']),
  /** Program and arguments; no shell is between. */
  command: z.array(z.string()).min(1),
  /** Variables for it, beside PGCONVOY_…; may hold secrets. */
  environment: z.record(z.string(), z.string()).default({}),
  /** Then it is killed, with all it has started. */
  timeout: duration('10s'),
  /** How often it is run again when it fails. */
  retries: z.int().min(0).default(0),
});

const PgBouncerConfig = z.strictObject({
  /** Its admin console: a name, an address, or the folder of its unix socket. */
  host: z.string().min(1, 'a host name, an address, or the folder of a unix socket').default('127.0.0.1'),
  port: Port.default(6_432),
  /** One of its admin_users. */
  user: z.string().min(1, 'the name of an admin user'),
  password: z.string().optional(),
  /** A file whose first line is the password. */
  passwordFile: z.string().optional(),
  /** pgbouncer.ini, or a file it includes, on the machine of the worker: host and port are changed in its [databases]. */
  file: z.string().min(1, 'the path of a file'),
  /** Its databases that are switched, each with the database it leads to; nothing: all of the file that lead to one of the run. */
  databases: z.record(z.string(), z.string()).optional(),
  /** Where it finds the target, as far as that differs from where we do. */
  target: z.strictObject({ host: z.string().optional(), port: Port.optional() }).default({}),
  /** How long running transactions may take to end before the fence. */
  pauseTimeout: duration('10s'),
});

/** `pause-copying`: no further copy begins; `give-up`: the slot of that one database is dropped. */
const WatchPolicy = z.enum(['ignore', 'warn', 'pause-copying', 'give-up']);

/** What people are told of. */
const NoticeEvent = z.enum([
  'failed-step',
  'waiting-approval',
  'cutover-begun',
  'cutover-done',
  'given-back',
  'danger',
]);

const WebhookConfig = z.strictObject({
  /** By which logs and jobs name it. */
  name: z.string().regex(/\S/, 'a name'),
  /** A secret: whoever has it can write there. */
  url: z
    .string()
    .regex(/^https?:\/\/./, 'an address like https://hooks.internal/pgconvoy')
    .optional(),
  /** A file whose first line is the address. */
  urlFile: z.string().optional(),
  /** `json`: everything for programs; `slack`: a text, as Slack, Mattermost and others take it. */
  format: z.enum(['json', 'slack']).default('json'),
  /** Sent along; may hold secrets. */
  headers: z
    .record(
      z.string(),
      z.string().refine((value) => /^[\t\x20-\x7e]*$/.test(value), 'printable text without line breaks'),
    )
    .refine((headers) => Object.keys(headers).every((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name)), 'names of headers')
    .default({}),
  on: z.array(NoticeEvent).default([...NoticeEvent.options]),
  /** Then it is tried again later. */
  timeout: duration('10s'),
});

export const Config = z.strictObject({
  source: ServerConfig.extend({
    /** Where the target server reaches the source, when that differs from where we do. */
    fromTarget: z
      .strictObject({ host: z.string().optional(), port: Port.optional(), sslmode: SslMode.optional() })
      .default({}),
  }).prefault({}),
  target: ServerConfig.extend({
    /** Where the source server reaches the target, for the way back, when that differs from where we do. */
    fromSource: z
      .strictObject({ host: z.string().optional(), port: Port.optional(), sslmode: SslMode.optional() })
      .default({}),
  }).prefault({}),
  queue: z
    .strictObject({
      /**
       * redis://, rediss:// or unix:///path; postgres:// for a PostgreSQL server (13 or later) that is not being upgraded; nothing
       * (neither url, sentinels nor clusterNodes): a private redis-server on this machine.
       */
      url: z
        .string()
        .regex(
          /^(rediss?:\/\/|postgres(ql)?:\/\/|unix:\/\/\/|\/)./,
          'an address like redis://host:6379, rediss://host:6380/0, unix:///run/redis.sock or postgres://user@host/database',
        )
        .optional(),
      password: z.string().optional(),
      /** A file whose first line is the password. */
      passwordFile: z.string().optional(),
      sentinels: z.array(z.strictObject({ host: z.string(), port: Port.default(26_379) })).optional(),
      sentinelName: z.string().optional(),
      clusterNodes: z.array(z.strictObject({ host: z.string(), port: Port.default(6_379) })).optional(),
      /** Begins every key, and the name of the schema in PostgreSQL, so that several installations can share one server. */
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]+$/, 'a word of letters, digits, _ and -')
        .default('pgconvoy'),
    })
    .refine(({ sentinels, clusterNodes }) => !sentinels || !clusterNodes, {
      path: ['clusterNodes'],
      message: 'either sentinels or clusterNodes, not both,',
    })
    .prefault({}),
  /** How rows travel; `auto`: native from source 10 on, pglogical before. */
  engine: z.enum(['auto', 'native', 'pglogical']).default('auto'),
  databases: z
    .strictObject({
      /** Names, or patterns with * and ?. */
      include: z.array(z.string()).default(['*']),
      exclude: z.array(z.string()).default([]),
    })
    .prefault({}),
  replication: z
    .strictObject({
      /** The role with which the target reads from the source. Made by setup, removed by uninstall. */
      role: z
        .string()
        .regex(/^pgconvoy[a-z0-9_]*$/, 'a name that begins with pgconvoy')
        .default('pgconvoy_replication'),
      /** Databases up to this size are copied from one snapshot, larger ones table by table by their subscription. */
      snapshotCopyUpTo: size('512MB'),
    })
    .prefault({}),
  /** How tables without a key of their own get a replica identity. */
  fix: z
    .strictObject({
      /** What is done where no index serves and no table below fits: the whole row, or a key column. */
      default: z.enum(['auto', 'surrogate-key']).default('auto'),
      /** The first that fits counts. */
      tables: z
        .array(
          z.strictObject({
            /** Names, or patterns with * and ?. */
            database: z.string().default('*'),
            table: z.string().regex(/.\../s, 'a table with its schema, like public.log'),
            choice: IdentityWish,
          }),
        )
        .default([]),
    })
    .prefault({}),
  budgets: z
    .strictObject({
      /** Databases copied at once. */
      copies: z.int().min(1).default(4),
      /** Tables copied at once in each of them (max_sync_workers_per_subscription while the copy runs). */
      tableWorkers: z.int().min(1).default(2),
      /** Indexes and constraints built at once in each database. */
      indexWorkers: z.int().min(1).default(2),
      /** Short steps at once. More keep a small server's caches cold, and take from the copies, which everything waits for. */
      operations: z.int().min(1).default(4),
      /** Databases inside their write outage at once. */
      cutovers: z.int().min(1).default(4),
    })
    .prefault({}),
  deadlines: z
    .strictObject({
      /** One attempt to get a lock on a production table; short, so that nobody queues behind us. */
      lockTimeout: duration('2s'),
      /** How long a step goes on trying to get its locks. */
      lock: duration('10m'),
      /** How long creating a slot waits for running transactions to end. */
      slot: duration('10m'),
      /** How long a database may stay without copy progress. */
      copyStall: duration('30m'),
      /** How long the target may need to catch up before the fence. */
      catchUp: duration('1h'),
      /** How long the target may need to reach the fence's LSN, and how long a fence waits for sessions to end. */
      fence: duration('60s'),
      /** How long nobody may be able to write to a database before it is given back to the source. */
      outage: duration('60s'),
    })
    .prefault({}),
  cutover: z
    .strictObject({
      /** Whether nobody opens before all databases of the run are ready; else each opens as soon as it is. */
      together: z.boolean().default(false),
      /**
       * `closed`: nobody but superusers is connected to the source's database while the fence stands; `read-only`: `readers` stay, if
       * it is proven that they cannot write.
       */
      fence: z.enum(['closed', 'read-only']).default('closed'),
      /** Roles that stay connected behind a fence that is read-only, by names or patterns with * and ?; groups stand for their members. */
      readers: z.array(z.string()).default([]),
      /** Whether rows travel back once a database is open on the target, so that `pgconvoy rollback` loses none. */
      reverse: z.boolean().default(true),
      /** Commands that are run, on the machine of the worker, at moments of the cutover. */
      hooks: z.array(HookConfig).default([]),
      /** PgBouncers that are switched from one cluster to the other, so that their clients see a pause and no error. */
      pgbouncer: z.array(PgBouncerConfig).default([]),
    })
    .prefault({}),
  /** How source and target are compared at the cutover. */
  comparison: z
    .strictObject({
      /**
       * `strict`: every row before the target opens; `fast`: right after it has opened, both sides as they were then; `auto`: small tables
       * strictly, the rest fast; `count`: numbers of rows alone.
       */
      mode: z.enum(['auto', 'strict', 'fast', 'count', 'none']).default('auto'),
      /** With `auto`, tables up to this size are compared before the target opens. */
      strictUpTo: size('64MB'),
      /** How long each database may be compared inside the write outage. */
      budget: duration('30s'),
      /** Sessions that compare at once, per database and on each side. */
      workers: z.int().min(1).default(2),
    })
    .prefault({}),
  /** What replication does not carry, and what becomes of it; `block`: check refuses a database that has it, `leave`: it stays behind. */
  notReplicated: z
    .strictObject({
      /** Their rows are copied inside the outage. */
      unloggedTables: z.enum(['copy', 'block', 'leave']).default('copy'),
      /** Copied while rows stream, and what has changed since inside the outage. */
      largeObjects: z.enum(['copy', 'block', 'leave']).default('copy'),
      /** Computed inside the outage; left, they hold nothing on the target. */
      materializedViews: z.enum(['refresh', 'leave']).default('refresh'),
      /** Rows of users in tables of extensions, as pg_dump takes them along. */
      extensionRows: z.enum(['copy', 'block', 'leave']).default('copy'),
    })
    .prefault({}),
  /**
   * Findings that shall not block: a code, of one database alone `code:database`, or `{ finding, database, reason }`, whose reason the
   * report keeps.
   */
  accept: z.array(Acceptance).default([]),
  board: z
    .strictObject({
      /** Whether the worker that commands start by themselves serves it too. */
      enabled: z.boolean().default(true),
      /** Beyond loopback only with a password or a token. */
      host: z.string().min(1, 'a name or an address').default('127.0.0.1'),
      /** 0: any that is free. */
      port: z.int().min(0).max(65_535).default(8_480),
      /** Where a proxy in front has put us. */
      basePath: z
        .string()
        .regex(/^\/([\w.~-]+(\/[\w.~-]+)*)?$/, 'a path like / or /pgconvoy')
        .default('/'),
      user: z
        .string()
        .regex(/^[^:]+$/, 'a name without colon')
        .default('pgconvoy'),
      password: z.string().min(1, 'a password').optional(),
      /** A file whose first line is the password. */
      passwordFile: z.string().optional(),
      /** For programs, as `Authorization: Bearer`. */
      token: z.string().min(1, 'a token').optional(),
      /** A file whose first line is the token. */
      tokenFile: z.string().optional(),
    })
    .prefault({}),
  /** What workers look at while rows travel, and what they do about it; see docs/watchdog.md. */
  watchdog: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** Between two looks. */
      every: duration('30s'),
      /** WAL that one slot may make its server keep; from half of it on it is told. */
      mostRetained: size('20GB'),
      /** What must stay free on the disk of the WAL, where that can be known. */
      leastFree: size('5GB'),
      /** How long nothing may be confirmed although there is something to confirm. */
      stalledAfter: duration('10m'),
      /** How long a transaction may hold back slots. */
      transactionAfter: duration('1h'),
      policy: z
        .strictObject({
          /** More than `mostRetained`. */
          retained: WatchPolicy.default('warn'),
          /** Less than `leastFree`. */
          disk: WatchPolicy.default('give-up'),
          /** The server is about to remove WAL that a slot needs. */
          slot: WatchPolicy.default('warn'),
          stalled: WatchPolicy.default('warn'),
          /** Changes cannot be applied. */
          errors: WatchPolicy.default('warn'),
          transactions: WatchPolicy.exclude(['give-up']).default('warn'),
          drift: WatchPolicy.exclude(['give-up', 'pause-copying']).default('warn'),
        })
        .prefault({}),
    })
    .prefault({}),
  /** Who is told of what happens. */
  notifications: z
    .strictObject({
      /** Where people reach the board: notices lead there. */
      board: z
        .string()
        .regex(/^https?:\/\/[^\s@]+$/, 'an address like https://pgconvoy.internal')
        .optional(),
      webhooks: z.array(WebhookConfig).default([]),
    })
    .prefault({}),
  tools: z
    .strictObject({
      /** Folder with pg_dump and pg_restore; nothing: the newest found on this machine. */
      bin: z.string().optional(),
    })
    .prefault({}),
  /** Folder for the private redis-server and logs of this machine; nothing: $XDG_STATE_HOME/pgconvoy. */
  state: z.string().optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** The configuration after defaults, with secrets resolved (passwords from files, environment or .pgpass). */
export type Config = z.output<typeof Config> & {
  readonly queue: { readonly server?: (QueueAddress & { readonly shown: string }) | undefined };
};
/** The configuration as a person writes it. */
export type ConfigInput = z.input<typeof Config>;

/** What operations may know: the configuration without addresses of the queue and without any secret. */
export type Settings = Pick<
  Config,
  'engine' | 'replication' | 'fix' | 'budgets' | 'deadlines' | 'comparison' | 'notReplicated' | 'accept' | 'databases'
> & {
  readonly source: Pick<Config['source'], 'fromTarget'>;
  readonly target: Pick<Config['target'], 'fromSource'>;
  readonly cutover: Omit<Config['cutover'], 'hooks' | 'pgbouncer'>;
};
