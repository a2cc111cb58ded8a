/**
 * Holds the target against the source and against the writers' record, by code of its own: nothing of pgconvoy is used here.
 * The source must be closed and the writers must have stopped.
 */
import type { ClusterInfo } from '../servers.ts';
import { byDatabase, replay, writesOf } from './journal.ts';
import type { Expected, JournalRecord, WriteRecord } from './journal.ts';
import { quoted, withSession } from './session.ts';
import type { Session } from './session.ts';
import type { WorkloadDatabase } from './workload.ts';

export interface DatabaseProof {
  readonly database: string;
  /** Tables and materialized views compared by count and checksum. */
  readonly tables: number;
  readonly rows: number;
  readonly sequences: number;
  /** Acknowledged transactions that were looked for. */
  readonly writes: number;
  /** Values taken from free sequences by the writers. */
  readonly values: number;
  /** What does not hold: nothing, when all is well. */
  readonly problems: readonly Problem[];
}

export interface Problem {
  readonly about: 'writes' | 'tables' | 'sequences' | 'errors';
  readonly text: string;
}

export interface ProofOptions {
  readonly source: ClusterInfo;
  readonly target: ClusterInfo;
  readonly databases: readonly WorkloadDatabase[];
  readonly journal: readonly JournalRecord[];
  readonly onSource?: OnSource;
}

/**
 * What of that which was written on the target is on the source, too: nothing (unless said otherwise); as much as has travelled back
 * until now, or until nothing travelled any more; everything.
 */
export type OnSource = 'nothing' | 'some' | 'everything';

/** Proves every database, four at a time. Takes a value from each sequence of the target. */
export async function proveDatabases(options: ProofOptions): Promise<DatabaseProof[]> {
  const journals = byDatabase(options.journal);
  const proofs: DatabaseProof[] = [];
  const queue = [...options.databases];
  const work = async () => {
    for (let database = queue.shift(); database; database = queue.shift()) {
      proofs.push(await proveDatabase(options, database, journals.get(database.name) ?? []));
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  const order = options.databases.map(({ name }) => name);
  return proofs.sort((a, b) => order.indexOf(a.database) - order.indexOf(b.database));
}

async function proveDatabase(
  { source, target, onSource = 'nothing' }: ProofOptions,
  database: WorkloadDatabase,
  records: readonly JournalRecord[],
): Promise<DatabaseProof> {
  return withSession(source, database.name, (sourceSession) =>
    withSession(target, database.name, async (targetSession) => {
      for (const session of [sourceSession, targetSession]) await session.query(sameOutput(source, target));
      const proof = new Proof(database, records, sourceSession, targetSession, onSource);
      proof.errors();
      await proof.writes('source');
      await proof.writes('target');
      await proof.audits('source');
      await proof.audits('target');
      await proof.tables();
      await proof.largeObjects();
      await proof.sequences();
      return proof.result();
    }),
  );
}

/**
 * Both servers must write a row in the same way, whatever is set for the database or the role. Since 12 the shortest exact form of a
 * float is written, before that all digits: with one of those, fifteen digits are what can be compared.
 */
const sameOutput = (...servers: readonly ClusterInfo[]): string => `
  set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set extra_float_digits = ${servers.every(({ major }) => major >= 12) ? 3 : 0};
  set bytea_output = 'hex'; set lc_monetary = 'C'; set xmloption = 'content'; set search_path = pg_catalog;
  set statement_timeout = 0; set default_transaction_read_only = off; set row_security = off;
`;

/** Problems of one kind that are told in full; of the rest the number. */
const TOLD = 5;

class Proof {
  readonly #database: WorkloadDatabase;
  readonly #records: readonly JournalRecord[];
  readonly #sessions: { readonly source: Session; readonly target: Session };
  readonly #problems: Problem[] = [];
  readonly #onSource: OnSource;
  #tables = 0;
  #rows = 0;
  #sequences = 0;

  constructor(
    database: WorkloadDatabase,
    records: readonly JournalRecord[],
    source: Session,
    target: Session,
    onSource: OnSource,
  ) {
    this.#onSource = onSource;
    this.#database = database;
    this.#records = records;
    this.#sessions = { source, target };
  }

  result(): DatabaseProof {
    return {
      database: this.#database.name,
      tables: this.#tables,
      rows: this.#rows,
      sequences: this.#sequences,
      writes: writesOf(this.#records).filter(({ outcome }) => outcome === 'acknowledged').length,
      values: this.#records.filter(({ type }) => type === 'value').length,
      problems: this.#problems,
    };
  }

  /** The application never saw an error but being sent away by the fence. */
  errors(): void {
    const errors = this.#records.flatMap((record) => (record.type === 'error' && !record.refused ? [record] : []));
    const times = new Map<string, number>();
    for (const { side, code, message } of errors) {
      const text = `on the ${side}: ${code} ${message}`;
      times.set(text, (times.get(text) ?? 0) + 1);
    }
    this.#tell(
      'errors',
      [...times].map(([text, number]) => `${text} (${number} times)`),
    );
  }

  /** Each row that was ever written is there once in its last version, or gone: none lost, doubled, or risen again. */
  async writes(side: 'source' | 'target'): Promise<void> {
    const writes = this.#writesUpTo(side);
    for (const [index, expected] of replay(writes, this.#database.written.length).entries()) {
      const table = this.#database.written[index]!;
      const rows = await this.#sessions[side].query(
        `select ${quoted(table.token)}::text as token, array_agg(${quoted(table.version)}) as versions
           from ${quoted(table.schema, table.name)}
          where ${quoted(table.token)}::text = any ($1) group by 1`,
        [[...expected.keys()]],
      );
      const found = new Map(rows.map((row) => [row['token'] as string, row['versions'] as number[]]));
      const wrong = [...expected].flatMap(([token, versions]) => wrongRow(token, versions, found.get(token) ?? []));
      this.#tell(
        'writes',
        wrong.map((text) => `${side}, ${table.schema}.${table.name}: ${text}`),
      );
    }
  }

  /** The triggers have fired once for each write, on whichever side it happened. */
  async audits(side: 'source' | 'target'): Promise<void> {
    for (const audit of this.#database.audits ?? []) {
      const written = this.#database.written.findIndex(({ name }) => name === audit.of);
      const rows = await this.#sessions[side].query(
        `select concat_ws(' ', ${quoted(audit.kind)}, ${quoted(audit.token)}, 'version', ${quoted(audit.version)}) as change,
                count(*)::integer as times
           from ${quoted(audit.schema, audit.name)} group by 1`,
      );
      const found = new Map(rows.map((row) => [row['change'] as string, row['times'] as number]));
      const wrong: string[] = [];
      for (const { outcome, changes } of this.#writesUpTo(side)) {
        for (const { table, kind, token, version } of changes) {
          if (table !== written) continue;
          const change = `${kind} ${token} version ${version}`;
          const times = found.get(change) ?? 0;
          found.delete(change);
          if (times !== 1 && !(outcome === 'unknown' && times === 0)) wrong.push(`${change} is noted ${times} times`);
        }
      }
      wrong.push(...[...found.keys()].map((change) => `${change} is noted and never was`));
      this.#tell(
        'writes',
        wrong.map((text) => `${side}, ${audit.schema}.${audit.name}: ${text}`),
      );
    }
  }

  /**
   * Every table and materialized view has the same rows, all columns of them; left out are only the rows that were written on the
   * target since: the record alone knows those.
   */
  async tables(): Promise<void> {
    const [source, target] = await Promise.all([listTables(this.#sessions.source), listTables(this.#sessions.target)]);
    const differing = [
      ...source.filter((table) => !target.includes(table)).map((table) => `${table} is not on the target`),
      ...target.filter((table) => !source.includes(table)).map((table) => `${table} is on the target only`),
    ];
    this.#tell('tables', differing);
    const touched = this.#touchedOnTarget();
    for (const table of source) {
      if (!target.includes(table)) continue;
      const except = touched.get(table);
      const [here, there] = await Promise.all([
        fingerprint(this.#sessions.source, table, except),
        fingerprint(this.#sessions.target, table, except),
      ]);
      this.#tables += 1;
      this.#rows += here.count;
      if (here.count !== there.count) {
        this.#tell('tables', [`${table} has ${here.count} rows on the source and ${there.count} on the target`]);
      } else if (here.sum !== there.sum) {
        this.#tell('tables', [`${table} has ${here.count} rows on both sides, but not the same ones`]);
      }
    }
  }

  /** Every large object has the same pages; left out are those that were painted over on the target since. */
  async largeObjects(): Promise<void> {
    const [source, target] = await Promise.all([
      listLargeObjects(this.#sessions.source),
      listLargeObjects(this.#sessions.target),
    ]);
    const changed = await this.#largeObjectsTouchedOnTarget();
    const compared = [...source].filter(([number]) => !changed.has(number));
    this.#rows += compared.length;
    this.#tell('tables', [
      ...compared
        .filter(([number, sum]) => target.get(number) !== sum)
        .map(([number]) => `large object ${number} is not the same on both sides`),
      ...[...target.keys()]
        .filter((number) => !source.has(number))
        .map((number) => `large object ${number} is on the target only`),
    ]);
  }

  async #largeObjectsTouchedOnTarget(): Promise<Set<string>> {
    const { largeObjects, written } = this.#database;
    const table = written.find(({ name }) => name === largeObjects?.of);
    if (!largeObjects || !table) return new Set();
    const name = quoted(table.schema, table.name);
    const rows = await this.#sessions.target.query(
      `select distinct ${quoted(largeObjects.column)}::text as number from ${name} where ${quoted(table.token)} = any ($1)`,
      [this.#touchedOnTarget().get(name)?.tokens ?? []],
    );
    return new Set(rows.map(({ number }) => number as string));
  }

  /** Each sequence goes on where the source stopped, and no value was given out twice. */
  async sequences(): Promise<void> {
    const [source, target] = await Promise.all([
      listSequences(this.#sessions.source),
      listSequences(this.#sessions.target),
    ]);
    const there = new Map(target.map((sequence) => [sequence.name, sequence]));
    for (const sequence of source) {
      const other = there.get(sequence.name);
      if (!other) this.#tell('sequences', [`${sequence.name} is not on the target`]);
      else this.#tell('sequences', await this.#wrongSequence(sequence, other));
      this.#sequences += 1;
    }
    for (const [index, name] of (this.#database.sequences ?? []).entries()) this.#wrongValues(index, name.name);
  }

  async #wrongSequence(source: Sequence, target: Sequence): Promise<string[]> {
    if (source.definition !== target.definition) {
      return [`${source.name} is ${source.definition} on the source and ${target.definition} on the target`];
    }
    const [{ value } = {}] = await this.#sessions.target.query('select nextval($1::regclass)::text as value', [
      source.name,
    ]);
    const next = BigInt(value as string);
    // What nobody has taken a value from yet begins at its start, everything else beyond the source's last value.
    const last = source.last === undefined ? undefined : BigInt(source.last);
    const beyond = source.increment > 0n ? last === undefined || next > last : last === undefined || next < last;
    const begins = last !== undefined || target.last !== undefined || next === source.start;
    if (beyond && begins) return [];
    return [`${source.name}: the source gave out ${source.last ?? 'nothing'}, the target gives ${next} next`];
  }

  #wrongValues(index: number, name: string): void {
    const values = this.#records.flatMap((record) =>
      record.type === 'value' && record.sequence === index ? [record] : [],
    );
    const seen = new Set<string>();
    const doubled = values.filter(({ value }) => seen.size === seen.add(value).size);
    this.#tell(
      'sequences',
      doubled.map(({ value }) => `${name} gave out ${value} twice`),
    );
  }

  #writesUpTo(side: 'source' | 'target'): WriteRecord[] {
    if (side === 'target' || this.#onSource === 'everything') return writesOf(this.#records);
    if (this.#onSource === 'nothing') return writesOf(this.#records, 'source');
    return writesOf(this.#records).map((write) => (write.side === 'target' ? { ...write, outcome: 'unknown' } : write));
  }

  /** Tokens by qualified table name. */
  #touchedOnTarget(): Map<string, Except> {
    const tables = new Map<string, Except>();
    if (this.#onSource === 'everything') return tables;
    const writes = writesOf(this.#records, 'target');
    for (const [index, table] of this.#database.written.entries()) {
      const tokens = writes.flatMap(({ changes }) =>
        changes.filter((change) => change.table === index).map(({ token }) => token),
      );
      tables.set(quoted(table.schema, table.name), { column: table.token, tokens });
      for (const audit of this.#database.audits ?? []) {
        if (audit.of === table.name) tables.set(quoted(audit.schema, audit.name), { column: audit.token, tokens });
      }
    }
    return tables;
  }

  #tell(about: Problem['about'], texts: readonly string[]): void {
    for (const text of texts.slice(0, TOLD)) this.#problems.push({ about, text });
    if (texts.length > TOLD)
      this.#problems.push({ about, text: `… and ${texts.length - TOLD} more like the last one` });
  }
}

function wrongRow(token: string, expected: Expected, versions: readonly number[]): string[] {
  const [version, ...more] = versions;
  if (more.length > 0) return [`row "${token}" is there ${versions.length} times (doubled)`];
  if (expected.has(version ?? 'gone')) return [];
  const wanted = [...expected].join(' or ');
  if (version === undefined) return [`row "${token}" is lost (should be: version ${wanted})`];
  if (expected.has('gone')) return [`row "${token}" is there in version ${version} although it was deleted`];
  return [`row "${token}" is in version ${version} (should be: ${wanted}): an update is lost`];
}

interface Except {
  readonly column: string;
  readonly tokens: readonly string[];
}

/** Qualified, quoted names of all tables and materialized views; a partitioned table stands for its partitions. */
async function listTables(session: Session): Promise<string[]> {
  const rows = await session.query(`
    select format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""')) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm') and not c.relispartition
       and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pglogical')
     order by 1`);
  return rows.map(({ name }) => name as string);
}

/** Number and checksum of the rows, in whatever order they lie; all columns as text. */
async function fingerprint(session: Session, table: string, except?: Except): Promise<{ count: number; sum: string }> {
  const [kind] = await session.query(
    'select relkind::text as kind, relispopulated as filled from pg_class where oid = $1::regclass',
    [table],
  );
  if (kind?.['filled'] === false) return { count: 0, sum: 'not populated' };
  const only = kind?.['kind'] === 'p' ? '' : 'only';
  const where = except
    ? `where not exists (select from unnest($1::text[]) touched(t) where touched.t = the_row.${quoted(except.column)}::text)`
    : '';
  const [row] = await session.query(
    `select count(*)::float8 as count, coalesce(sum(('x' || left(md5(the_row::text), 16))::bit(64)::bigint::numeric), 0)::text as sum
       from ${only} ${table} the_row ${where}`,
    except ? [except.tokens] : [],
  );
  return { count: row?.['count'] as number, sum: row?.['sum'] as string };
}

/** By its number: a checksum of its pages. */
async function listLargeObjects(session: Session): Promise<Map<string, string>> {
  const rows = await session.query(`
    select o.oid::text as number,
           coalesce((select md5(string_agg(pageno || ' ' || md5(data), ',' order by pageno)) from pg_largeobject where loid = o.oid), '') as sum
      from pg_largeobject_metadata o`);
  return new Map(rows.map(({ number, sum }) => [number as string, sum as string]));
}

interface Sequence {
  readonly name: string;
  readonly definition: string;
  readonly start: bigint;
  readonly increment: bigint;
  /** Undefined: nobody has called nextval yet. */
  readonly last: string | undefined;
}

async function listSequences(session: Session): Promise<Sequence[]> {
  const rows = await session.query(`
    select format('"%s"."%s"', replace(schemaname, '"', '""'), replace(sequencename, '"', '""')) as name,
           concat_ws(' ', data_type, 'from', min_value, 'to', max_value, 'start', start_value, 'by', increment_by, cycle, cache_size) as definition,
           start_value::text as start, increment_by::text as increment, last_value::text as last
      from pg_sequences order by 1`);
  return rows.map((row) => ({
    name: row['name'] as string,
    definition: row['definition'] as string,
    start: BigInt(row['start'] as string),
    increment: BigInt(row['increment'] as string),
    last: (row['last'] as string | null) ?? undefined,
  }));
}
