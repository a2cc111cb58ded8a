/** A PgBouncer of Debian in front of a cluster, as an operator has it: transaction pooling, an admin console, passwords by hash. */
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { ensurePgbouncer } from '../../scripts/kit/kit.ts';
import type { ClusterInfo } from './servers.ts';
import { freePort, makeServerFolder, ServerProcess, serverUser } from './server-process.ts';

export interface PgbouncerOptions {
  readonly cluster: ClusterInfo;
  /** Lines of [databases]; a name alone is led to the cluster. */
  readonly databases: readonly string[];
  /** Lines of [pgbouncer], over the usual ones. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface Pgbouncer extends AsyncDisposable {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** May do everything in the console. */
  readonly user: string;
  readonly password: string;
  readonly file: string;
  text(): string;
  log(): string;
  /** What the console answers. */
  show(command: string): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

/** Whoever may log in to the cluster with a password may log in here: their hashes are taken as they are. */
export async function startPgbouncer({ cluster, databases, settings }: PgbouncerOptions): Promise<Pgbouncer> {
  const program = await ensurePgbouncer();
  const folder = makeServerFolder('pgbouncer');
  const port = await freePort();
  const [file, users, logFile] = ['pgbouncer.ini', 'userlist.txt', 'server.log'].map((name) => join(folder, name));
  const admin = { user: 'bouncer_admin', password: `con"sole pass%41\\'` };
  const own = { [admin.user]: admin.password, ...(await passwordHashes(cluster)) };
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  writeFileSync(
    users!,
    Object.entries(own)
      .map((pair) => `${pair.map(quoted).join(' ')}\n`)
      .join(''),
  );
  const lines = Object.entries({
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: folder,
    auth_type: 'scram-sha-256',
    auth_file: users,
    admin_users: admin.user,
    pool_mode: 'transaction',
    default_pool_size: 4,
    max_client_conn: 200,
    ...settings,
  });
  const entry = (line: string) =>
    line.includes('=') ? line : `${line} = host=${cluster.host} port=${cluster.port} dbname=${line}`;
  writeFileSync(
    file!,
    `;; ours\n[databases]\n${databases.map(entry).join('\n')}\n\n[pgbouncer]\n${lines.map((pair) => pair.join(' = ')).join('\n')}\n`,
    { mode: 0o640 },
  );
  if (serverUser.uid !== undefined) for (const each of [file!, users!]) chownSync(each, serverUser.uid, serverUser.uid);
  const show = async (command: string) => {
    const client = new pg.Client({ host: '127.0.0.1', port, ...admin, database: 'pgbouncer' });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(command)).rows;
    } finally {
      await client.end();
    }
  };
  const server = new ServerProcess({
    label: 'PgBouncer',
    program,
    args: [file!],
    folder,
    logFile: logFile!,
    endSignal: 'SIGINT',
    isReady: () =>
      show('show version').then(
        () => true,
        () => false,
      ),
  });
  const stop = async () => {
    await server.stop('SIGQUIT');
    await rm(folder, { recursive: true, force: true });
  };
  await server.start();
  return {
    host: '127.0.0.1',
    port,
    ...admin,
    file: file!,
    text: () => readFileSync(file!, 'utf8'),
    log: () => readFileSync(logFile!, 'utf8'),
    show,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function passwordHashes(cluster: ClusterInfo): Promise<Record<string, string>> {
  const client = new pg.Client({ ...cluster, database: 'postgres' });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string; hash: string }>(
      'select rolname as name, rolpassword as hash from pg_authid where rolpassword is not null',
    );
    return Object.fromEntries(rows.map(({ name, hash }) => [name, hash]));
  } finally {
    await client.end();
  }
}
