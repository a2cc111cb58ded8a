import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { Scenario } from '../helpers/scenario.ts';
import type { RedisServer } from '../helpers/servers.ts';
import { roles } from '../helpers/workload/workload.ts';
import { query } from '../helpers/workload/session.ts';

const passwords = { source: `s'ource "p%41ss\\word:@/?`, target: 'tärget pass/word+&=' };
const queuePassword = 'queue:p@ss/word';

/** Redis asks for a password from now on; the address that the configuration gets holds it. */
async function lockRedis(redis: RedisServer) {
  const client = new Redis(redis.socket);
  await client.config('SET', 'requirepass', queuePassword);
  client.disconnect();
  return { ...redis, url: `redis://:${encodeURIComponent(queuePassword)}@127.0.0.1:${redis.port}` };
}

/** Every key with all that it holds, as text. */
async function contentOf(redis: RedisServer): Promise<string> {
  const client = new Redis({ path: redis.socket, password: queuePassword });
  const texts: string[] = [];
  try {
    for await (const keys of client.scanStream() as AsyncIterable<string[]>) {
      for (const key of keys) texts.push(key, JSON.stringify(await valueOf(client, key)));
    }
  } finally {
    client.disconnect();
  }
  return texts.join('\n');
}

async function valueOf(client: Redis, key: string): Promise<unknown> {
  const type = await client.type(key);
  switch (type) {
    case 'string':
      return client.get(key);
    case 'hash':
      return client.hgetall(key);
    case 'list':
      return client.lrange(key, 0, -1);
    case 'set':
      return client.smembers(key);
    case 'zset':
      return client.zrange(key, '0', '-1');
    case 'stream':
      return client.xrange(key, '-', '+');
    default:
      throw new Error(`a key of type ${type}, which this test cannot read`);
  }
}

/** A secret as it is, and in the ways it may be written: in a URL, in JSON, in SQL, in a connection string. */
function spellings(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const conninfo = secret.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  return [
    ...new Set([
      secret,
      encodeURIComponent(secret),
      json,
      secret.replaceAll("'", "''"),
      conninfo,
      conninfo.replaceAll("'", "''"),
      JSON.stringify(conninfo).slice(1, -1),
      Buffer.from(secret).toString('base64'),
    ]),
  ];
}

test.for([
  ['native', 15],
  ['pglogical', 13],
] as const)(
  'no password is in Redis, logs, output or error texts, whatever was run and whatever failed (%s)',
  async ([engine, major]) => {
    await using scenario = await Scenario.open({
      engine,
      source: major,
      databases: ['testdb', 'My "odd" DB'],
      passwords,
      queue: lockRedis,
      // The servers tell every statement to their logs.
      settings: { log_statement: 'all', log_min_error_statement: 'error' },
      config: { logLevel: 'trace', deadlines: { copyStall: '5s' } },
    });
    const { program, source, target, redis } = scenario;
    const worker = await program.startWorker();
    const said: string[] = [];
    const tell = async (...words: readonly string[]) => {
      const { code, stdout, stderr } = await program.run(...words);
      said.push(stdout, stderr);
      return code;
    };

    await tell('check', '--log-level', 'trace');
    expect(await tell('fix', '--yes', '--json')).toBe(0);
    expect(await tell('setup')).toBe(0);
    const [{ secret } = {}] = await query(
      target,
      'postgres',
      `select before::text as secret from pgconvoy.ledger where kind = 'replication-secret'`,
    );
    // An error of the servers that has a connection string in it, and steps that fail for good.
    await query(source, 'postgres', 'alter role pgconvoy_replication nologin');
    expect(await tell('start')).not.toBe(0);
    await query(source, 'postgres', 'alter role pgconvoy_replication login');
    await tell('status');
    await tell('status', '--json');
    expect(await tell('retry')).toBe(0);
    await tell('status', '--watch');
    await tell('logs');
    await tell('logs', '--json');
    for (const side of ['source', 'target'] as const) {
      const wrong = `postgresql://postgres:${encodeURIComponent('wrong pass/word')}@127.0.0.1:${scenario[side].port}/postgres`;
      expect(await tell('plan', `--${side}`, wrong)).toBe(4);
    }
    expect(
      await tell('runs', '--queue', `redis://:${encodeURIComponent('wrong queue:p@ss')}@127.0.0.1:${redis.port}`),
    ).toBe(4);
    expect(await tell('stop', '--yes')).toBe(0);
    expect(await tell('uninstall')).toBe(0);
    await worker.stop();

    const ledgered = JSON.stringify(secret).match(/[A-Za-z0-9+/_-]{20,}/g) ?? [];
    expect(ledgered.length).toBeGreaterThan(0);
    const [hashes, ...more] = await Promise.all([
      query(
        source,
        'postgres',
        `select rolpassword from pg_authid where rolpassword is not null and rolname not like 'postgres'`,
      ),
      contentOf(redis),
    ]);
    const secrets = [
      passwords.source,
      passwords.target,
      queuePassword,
      'wrong pass/word',
      'wrong queue:p@ss',
      ...ledgered,
      ...Object.values(roles).flatMap(({ password }) => (password === undefined ? [] : [password])),
      ...hashes.map(({ rolpassword }) => rolpassword as string),
    ];
    const places: Record<string, string> = {
      Redis: more.join('\n'),
      'the log of the worker': readFileSync(worker.logFile, 'utf8'),
      'what commands have said': said.join('\n'),
    };
    for (const text of Object.values(places)) expect(text.length).toBeGreaterThan(1_000);
    const found = Object.entries(places).flatMap(([place, text]) =>
      secrets.flatMap((each) =>
        spellings(each)
          .filter((spelling) => text.includes(spelling))
          .map((spelling) => `${place}: ${spelling}`),
      ),
    );
    expect(found).toEqual([]);

    // The servers' own logs hold statements; what pgconvoy has sent must not be among them.
    const sent = [passwords.source, passwords.target, ...ledgered];
    const logged = [source, target].flatMap((cluster) =>
      sent.flatMap((each) => spellings(each).filter((spelling) => cluster.log().includes(spelling))),
    );
    expect(logged).toEqual([]);
  },
);
