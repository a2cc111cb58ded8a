import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { expect, test } from 'vitest';
import type { OperationContext } from '../../../src/engine/operation.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { awaitLsn } from '../../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { TestPair } from '../../helpers/pair.ts';
import type { Major } from '../../helpers/servers.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

/** Between two attempts of one attacker, and how long they go on when the fence stands, milliseconds. */
const PAUSE_MS = 20;
const SIEGE_MS = 600;

const SCHEMA = `
  create table t (id int primary key, how text);
  create table scratch (id int primary key, how text);
  create table emptied (id int primary key, how text);
  create sequence q;
  create function sneak(id int) returns void language sql security definer as 'insert into public.t values (id, ''sneak'')'`;

const ident = pg.escapeIdentifier;

/** Everything somebody may try who is connected to a database, or wants to be. Each writes if nothing keeps it from that. */
const TRICKS: Readonly<Record<string, (client: pg.Client, id: number, roles: Roles) => Promise<unknown>>> = {
  insert: (client, id) => client.query(`insert into t values (${id}, 'insert')`),
  'begin read write': (client, id) => client.query(written(`insert into t values (${id}, 'begin')`)),
  'the default turned off': (client, id) =>
    client.query(`set default_transaction_read_only = off; insert into t values (${id}, 'default')`),
  'session characteristics': async (client, id) => {
    await client.query('set session characteristics as transaction read write');
    await client.query(`insert into t values (${id}, 'characteristics')`);
  },
  'a function of its owner': (client, id) => client.query(written(`select sneak(${id})`)),
  'set role': (client, id, { owner }) =>
    client.query(written(`set local role ${ident(owner)}; insert into t values (${id}, 'role')`)),
  sequence: (client, id) => client.query(written(`select nextval('q'), setval('q', ${id} + 100000)`)),
  'update, delete': (client, id) =>
    client.query(written(`update scratch set how = '${id}'; delete from scratch where id = ${id - 50}`)),
  truncate: (client, id) => client.query(written(`truncate emptied; insert into emptied values (${id}, 'truncate')`)),
  ddl: (client, id) => client.query(written(`create table made_${id} as select 1 as a`)),
  lo_put: (client, id) => client.query(written(`select lo_put(4711, 0, '${id}')`)),
  lowrite: (client, id) => client.query(written(`select lowrite(lo_open(4711, 131072), '${id}')`)),
  'large objects of its own': (client, id) => client.query(written(`select lo_from_bytea(0, '${id}')`)),
  'lo_create, lo_creat': (client) => client.query(written('select lo_create(0), lo_creat(-1)')),
  'a block': (client, id) =>
    client.query(`do $$ begin set transaction read write; insert into t values (${id}, 'block'); end $$`),
  copy: async (client, id) => {
    await client.query('set default_transaction_read_only = off');
    await pipeline(Readable.from([`${id}\tcopy\n`]), client.query(copyFrom('copy t from stdin')));
  },
  'a transaction open for long': async (client, id) => {
    await client.query(`begin read write; insert into t values (${id}, 'long')`);
    await sleep(120);
    await client.query('commit');
  },
  'a cursor that is held': async (client, id) => {
    await client.query('declare c cursor with hold for select * from t');
    await sleep(40);
    await client.query(written(`insert into t values (${id}, 'cursor')`));
    await client.query('close c');
  },
  'prepared statement': async (client, id) => {
    await client.query({ name: 'kept', text: `insert into t values ($1, 'prepared')`, values: [id] });
  },
};

/** Everybody can make large objects as long as there is no fence, and who owns one can write: no reader any more. */
const OWNS_WHAT_IT_MAKES = /of its own|lo_creat/;

/** Tricks that leave no row of their number in the table t. */
const NO_ROW_IN_T = /sequence|update|truncate|ddl$|lo_|lowrite|large/;

const written = (statements: string) => `begin read write; ${statements}; commit`;

interface Roles {
  readonly owner: string;
  readonly app: string;
  readonly replicator: string;
  readonly reader: string;
}

interface Attacker {
  readonly name: string;
  successes: number;
  /** Of those with an id in table t: what was acknowledged. */
  readonly acknowledged: number[];
}

const endOf = (client: pg.Client): Promise<never> => {
  const end = new Promise<never>((_resolve, reject) => {
    client.once('end', () => reject(new Error('the session was ended')));
  });
  end.catch(() => {});
  return end;
};

/** Never the same number twice: a source of 10 does not tell the target that it has emptied a table. */
let lastId = 1_000;

/** Attackers, each with a session of its own that it opens again and again, until they are called off. */
class Siege implements AsyncDisposable {
  readonly attackers: Attacker[] = [];
  readonly #pair: TestPair;
  readonly #running: Promise<void>[] = [];
  #over = false;

  constructor(pair: TestPair) {
    this.#pair = pair;
  }

  begin(
    name: string,
    open: () => Promise<pg.Client>,
    run: (client: pg.Client, id: number) => Promise<unknown>,
  ): Attacker {
    const attacker: Attacker = { name, successes: 0, acknowledged: [] };
    this.attackers.push(attacker);
    this.#running.push(this.#attack(attacker, open, run));
    return attacker;
  }

  async connect(database: string, role: string, options: object = {}): Promise<pg.Client> {
    const { address } = this.#pair.clusters.source;
    const client = new pg.Client({ ...address, user: role, password: 'secret', database, ...options });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.all(this.#running);
  }

  async #attack(
    attacker: Attacker,
    open: () => Promise<pg.Client>,
    run: (client: pg.Client, id: number) => Promise<unknown>,
  ): Promise<void> {
    let client: pg.Client | undefined;
    let end: Promise<never> | undefined;
    while (!this.#over) {
      const id = ++lastId;
      try {
        if (!client || !end) {
          client = await open();
          end = endOf(client);
        }
        // A stream of COPY does not hear of it when its session is ended.
        await Promise.race([run(client, id), end]);
        attacker.successes += 1;
        attacker.acknowledged.push(id);
      } catch {
        await client?.end().catch(() => {});
        client = undefined;
        // A log-in costs more than a statement.
        await sleep(5 * PAUSE_MS);
      }
      await sleep(PAUSE_MS);
    }
    await client?.end().catch(() => {});
  }
}

/** All that a database holds which somebody might have changed. */
const PICTURE = `
  select (select json_agg(t order by id) from t) as t, (select json_agg(s order by id) from scratch s) as scratch,
         (select json_agg(e order by id) from emptied e) as emptied,
         (select json_build_array(last_value, is_called) from q) as sequence,
         (select json_agg(relname order by relname) from pg_class where relname like 'made%') as made,
         (select json_agg(json_build_array(loid, md5(data)) order by loid) from pg_largeobject) as "largeObjects",
         (select count(*)::int from pg_largeobject_metadata) as "largeObjectCount"`;

test.each<{ source: Major; target: Major }>([
  { source: 10, target: 15 },
  { source: 13, target: 17 },
  { source: 15, target: 18 },
  { source: 18, target: 17 },
])(
  'a writer that tries everything to get around the fence, in both modes, on $source',
  async ({ source, target }) => {
    await using pair = await TestPair.open({ source, target });
    const roles: Roles = {
      owner: pair.name('Owner'),
      app: pair.name('app'),
      replicator: pair.name('replicator'),
      reader: pair.name('reader'),
    };
    for (const role of Object.values(roles))
      await pair.query('source', 'postgres', `create role ${ident(role)} login password 'secret'`);
    const { owner, app, replicator, reader } = roles;
    const database = await schemaOnBothSides(pair, 'My "odd" DB', SCHEMA);
    const elsewhere = await pair.database('elsewhere', 'create extension postgres_fdw');
    const { host, port } = pair.source;
    const loopback = `host=${host} port=${port} dbname=${pg.escapeLiteral(database)} user=${pg.escapeLiteral(app)} password=secret`;
    await pair.query(
      'source',
      database,
      `create extension dblink;
     alter database ${ident(database)} owner to ${ident(owner)};
     alter table t owner to ${ident(owner)}; alter table scratch owner to ${ident(owner)}; alter table emptied owner to ${ident(owner)}; alter sequence q owner to ${ident(owner)};
     alter function sneak(int) owner to ${ident(owner)};
     revoke create on schema public from public; grant create on schema public to ${ident(owner)}, ${ident(app)};
     revoke execute on function sneak(int) from public; grant execute on function sneak(int) to ${ident(app)};
     grant all on t, scratch, emptied to ${ident(app)}, ${ident(replicator)}; grant all on q to ${ident(app)};
     grant select on t, scratch, q to ${ident(reader)};
     grant ${ident(owner)} to ${ident(app)}; alter role ${ident(replicator)} replication;
     select lo_from_bytea(4711, 'before'); grant select, update on large object 4711 to ${ident(app)};
     insert into scratch values (1, 'before')`,
    );
    await pair.query(
      'source',
      elsewhere,
      `create server back foreign data wrapper postgres_fdw options (host '${host}', port '${port}', dbname ${pg.escapeLiteral(database)});
     create user mapping for ${ident(app)} server back options (user ${pg.escapeLiteral(app)}, password 'secret');
     create foreign table far (id int, how text) server back options (table_name 't'); grant insert on far to ${ident(app)}`,
    );
    await walkTo(pair, database, 'await-catch-up');
    const definition = () =>
      pair.query(
        'source',
        database,
        `select pg_get_userbyid(datdba) as owner, (select array_agg(a::text order by a::text) from unnest(datacl) a) as acl,
              (select setconfig from pg_db_role_setting where setdatabase = d.oid and setrole = 0) as settings,
              (select json_agg(json_build_array(proname, a.grantee, a.privilege_type) order by proname, a.grantee)
                 from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a where proname like 'lo\\_%') as makers
         from pg_database d where datname = current_database()`,
      );

    for (const mode of ['closed', 'read-only'] as const) {
      await using siege = new Siege(pair);
      const enter = (role: string) => () => siege.connect(database, role);
      for (const [trick, run] of Object.entries(TRICKS))
        siege.begin(`app: ${trick}`, enter(app), (client, id) => run(client, id, roles));
      siege.begin('owner: alters a table', enter(owner), (client, id) =>
        client.query(
          written(`alter table scratch add c int; alter table scratch drop c; insert into t values (${id}, 'owner')`),
        ),
      );
      siege.begin('app: dblink', enter(app), (client, id) =>
        client.query('select dblink_exec($1, $2)', [loopback, written(`insert into t values (${id}, 'dblink')`)]),
      );
      siege.begin(
        'app: a foreign table elsewhere',
        () => siege.connect(elsewhere, app),
        (client, id) => client.query(`insert into far values (${id}, 'fdw')`),
      );
      siege.begin(
        'replicator: statements of a WAL sender',
        () => siege.connect(database, replicator, { replication: 'database' }),
        (client, id) => client.query(written(`insert into t values (${id}, 'walsender')`)),
      );
      siege.begin(
        'owner: lets somebody in, from elsewhere',
        () => siege.connect(elsewhere, owner),
        async (client, id) => {
          await client.query(`alter database ${ident(database)} reset default_transaction_read_only`);
          await client.query(`grant connect on database ${ident(database)} to ${ident(app)}`);
          const friend = await siege.connect(database, app);
          await friend.query(written(`insert into t values (${id}, 'let in')`)).finally(() => friend.end());
        },
      );
      const writers = [...siege.attackers];
      await eventually(() => expect(writers.filter(({ successes }) => successes === 0)).toEqual([]), {
        timeoutMs: 30_000,
      });
      // Whoever reads: tries the same, and reads on.
      const tries = (isOne: (trick: string) => boolean) => {
        for (const [trick, run] of Object.entries(TRICKS))
          if (isOne(trick)) siege.begin(`reader: ${trick}`, enter(reader), (client, id) => run(client, id, roles));
      };
      tries((trick) => !OWNS_WHAT_IT_MAKES.test(trick));
      let reads = 0;
      siege.begin('reader', enter(reader), async (client) => {
        await client.query('begin read write; create temp table mine on commit drop as select * from t; commit');
        reads += 1;
      });
      const report = await siege.connect(database, reader);
      await report.query('begin; declare all_of_it cursor for select * from t; fetch 1 from all_of_it');
      await eventually(() => expect(reads).toBeGreaterThan(0));

      const context = (): OperationContext<any> => {
        const plain = pair.context(database);
        const cutover = { ...plain.settings.cutover, fence: mode, readers: [reader] };
        return { ...plain, settings: { ...plain.settings, cutover } };
      };
      const { output } = await runOperation(fenceSource, context());
      tries((trick) => OWNS_WHAT_IT_MAKES.test(trick));
      const [atFence] = await pair.query('source', database, PICTURE);
      await sleep(SIEGE_MS / 2);
      const readsAtFence = reads;
      await sleep(SIEGE_MS / 2);
      const { output: arrived } = await runOperation(awaitLsn, context());
      expect(arrived).toEqual({ lsn: (output as { lsn: string }).lsn });
      const rows =
        'select (select json_agg(t order by id) from t) as t, (select json_agg(s order by id) from scratch s) as scratch';
      const [onTarget] = await pair.query('target', database, rows);
      await eventually(() => expect(reads > readsAtFence).toBe(mode === 'read-only'));
      const fetched = await report.query('fetch 1 from all_of_it').then(
        ({ rowCount }) => rowCount,
        () => 'ended',
      );
      expect(fetched).toBe(mode === 'read-only' ? 1 : 'ended');
      await siege[Symbol.asyncDispose]();
      await report.end().catch(() => {});
      const [later] = await pair.query('source', database, PICTURE);
      // Not one more row than when the LSN was taken, and the target has them all.
      expect(later).toEqual(atFence);
      expect(onTarget).toEqual({ t: later!['t'], scratch: later!['scratch'] });
      const present = new Set((later!['t'] as { id: number }[]).map(({ id }) => id));
      const lost = writers
        .filter(({ name }) => !NO_ROW_IN_T.test(name))
        .map(({ name, acknowledged }) => ({ name, lost: acknowledged.filter((id) => !present.has(id)) }));
      expect(lost.filter((each) => each.lost.length > 0)).toEqual([]);
      expect((output as { readers: string[] }).readers).toEqual(mode === 'read-only' ? [reader] : []);
      await fenceSource.undo!(context());
      const [after] = await definition();
      expect(after).toMatchObject({ owner, settings: null });
    }
  },
  120_000,
);
