import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import { InventoryItem, inventoryDifference, lateInventory } from '../../postgres/catalog/inventory.ts';
import { IndexedTable, indexedTables } from '../../postgres/catalog/indexed-tables.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { acceptMade, bothFingerprints, completeBaseline } from '../drift/baseline.ts';
import { refuseChanged } from '../drift/refuse-changed.ts';
import { planRestore } from './plan-restore.ts';
import { markComplete, schemaState } from './schema-state.ts';
import { describeEntry, failuresError, RestoreSession } from './restore-entries.ts';
import type { RestoreOptions } from './restore-entries.ts';
import { countPending, dropJournal, forgetPending, journalExists, pendingEntries } from './restore-journal.ts';
import type { PlannedEntry } from './restore-journal.ts';

/** Below this the way to the server costs more than the work: many objects of small tables go in one transaction. */
const SMALL_BYTES = 8_000_000;
const AT_ONCE = 50;

/** What can be built side by side, in the order of the phases; whatever is not in here comes last, one after the other. */
const PHASES: Readonly<Record<string, number>> = {
  INDEX: 0,
  CONSTRAINT: 0,
  'INDEX ATTACH': 1,
  'FK CONSTRAINT': 2,
  'CHECK CONSTRAINT': 2,
};
const LAST_PHASE = 3;

/**
 * What comes after the rows: secondary indexes (the largest tables first, several at a time), unique and foreign keys, rules,
 * triggers, policies, statistics objects. Triggers that would fire while rows are applied are left to the cutover.
 * @see https://www.postgresql.org/docs/current/populate.html#POPULATE-RM-INDEXES
 */
export const buildIndexes = defineOperation({
  name: 'build-indexes',
  title: 'Indexes, constraints and triggers are those of the source',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: z.strictObject({ objects: z.int() }),

  async check(context) {
    const { source, target } = context;
    const hasJournal = await journalExists(target);
    const pending = hasJournal ? await countPending(target, 'late') : 0;
    if (pending > 0) return lacks([{ problem: 'not finished', pending }]);
    const [wanted, present] = await Promise.all(
      [source, target].map((database) => database.many(InventoryItem, lateInventory())),
    );
    // From its opening on the applications change it as they like.
    const missing = (await openedDatabase(context)) ? [] : inventoryDifference(wanted!, present!);
    if (missing.length > 0) return lacks(missing);
    if (hasJournal) return lacks([{ problem: 'journal' }]);
    return holds({ objects: wanted!.length });
  },

  async apply(context, missing) {
    const { target } = context;
    // Finished once, but something is missing now.
    const isRepair = (await schemaState(context)) === 'complete';
    const before = isRepair ? await bothFingerprints(context) : undefined;
    if (!missing.every(({ problem }) => problem === 'journal')) await build(context, isRepair);
    if ((await countPending(target, 'schema')) > 0) return;
    if (!before) await completeBaseline(context);
    await markComplete(context);
    await dropJournal(context);
    if (!before) return;
    await acceptMade(context, before);
    await refuseChanged(context, lateInventory());
  },
});

async function build(context: OperationContext, tolerateExisting: boolean): Promise<void> {
  const { target, settings, progress } = context;
  let entries = await pendingEntries(target, 'late');
  if (entries.length === 0) {
    await planRestore(context, ['late']);
    entries = await pendingEntries(target, 'late');
  }
  let done = 0;
  const pool = new SessionPool(context, {
    tolerateExisting,
    besideApplying: true,
    lockDeadlineMs: settings.deadlines.lock,
    onStart: ([first]) =>
      progress({ done, total: entries.length, unit: 'objects', ...(first ? { note: describeEntry(first) } : {}) }),
    onDone: (made) => {
      done += made.length;
      progress({ done, total: entries.length, unit: 'objects' });
    },
  });
  try {
    for (const groups of await phasesOf(context, entries)) await pool.restore(groups);
  } finally {
    await pool.close();
  }
  const { failures } = pool;
  if (failures.length === 0) return;
  const place = new Map(entries.map((entry, index) => [entry.key, index]));
  await forgetPending(target, 'late');
  throw failuresError(
    target.name,
    failures.toSorted((one, other) => place.get(one.entry.key)! - place.get(other.entry.key)!),
    entries.length,
  );
}

/** The job's own session and more to the same database, that take groups of entries, one after the other, until none is left. */
class SessionPool {
  readonly #context: OperationContext;
  readonly #options: RestoreOptions;
  readonly #sessions: RestoreSession[] = [];
  readonly #forks: Database[] = [];

  constructor(context: OperationContext, options: RestoreOptions) {
    this.#context = context;
    this.#options = options;
  }

  get failures() {
    return this.#sessions.flatMap((session) => session.failures);
  }

  async restore(groups: readonly (readonly PlannedEntry[])[]): Promise<void> {
    const { target, settings, signal } = this.#context;
    const waiting = [...groups];
    while (this.#sessions.length < Math.min(groups.length, settings.budgets.indexWorkers)) {
      const session = this.#sessions.length === 0 ? target : this.#fork(target);
      this.#sessions.push(await RestoreSession.open(this.#context, session, this.#options));
    }
    // Where one session breaks off, the others end after what they are doing.
    const broke = new AbortController();
    const results = await Promise.allSettled(
      this.#sessions.map(async (session) => {
        try {
          for (let group = waiting.shift(); group && !broke.signal.aborted; group = waiting.shift()) {
            signal.throwIfAborted();
            await session.restoreAll(group);
          }
        } catch (error) {
          broke.abort();
          throw error;
        }
      }),
    );
    const broken = results.find((result) => result.status === 'rejected');
    if (broken) throw broken.reason;
  }

  #fork(target: Database): Database {
    const fork = target.fork();
    this.#forks.push(fork);
    return fork;
  }

  async close(): Promise<void> {
    await Promise.all(this.#forks.map((fork) => fork.close()));
  }
}

/** The entries in phases, each of them in groups that do not get in each other's way. */
async function phasesOf(
  { source }: OperationContext,
  entries: readonly PlannedEntry[],
): Promise<readonly (readonly PlannedEntry[])[][]> {
  const tables = await source.many(IndexedTable, indexedTables());
  const tableOf = new Map(tables.map((table) => [`${table.class} ${table.oid}`, table]));
  const phases: PlannedEntry[][] = Array.from({ length: LAST_PHASE + 1 }, () => []);
  const phaseOf = new Map<number, number>();
  for (const planned of entries) {
    const { type, dependencies, id } = planned.entry;
    // Nothing comes before what it needs, e.g. an index of a view that is made late.
    const phase = Math.max(PHASES[type] ?? LAST_PHASE, ...dependencies.map((each) => phaseOf.get(each) ?? 0));
    phaseOf.set(id, phase);
    phases[phase]!.push(planned);
  }
  const sized = (planned: PlannedEntry) => tableOf.get(`${planned.entry.classOid} ${planned.entry.oid}`);
  return phases.map((phase, index) => (index % 2 === 0 ? sideBySide(phase, sized) : inOrder(phase)));
}

/** One after the other, in one session: the order of the dump counts. */
const inOrder = (entries: readonly PlannedEntry[]): (readonly PlannedEntry[])[] =>
  entries.length === 0 ? [] : [entries];

/**
 * Large tables first, each object by itself. Small tables in groups, all objects of a table in the same one, so that two sessions
 * do not wait for each other.
 */
function sideBySide(
  entries: readonly PlannedEntry[],
  tableOf: (entry: PlannedEntry) => IndexedTable | undefined,
): (readonly PlannedEntry[])[] {
  const sized = entries.map((entry) => ({ entry, table: tableOf(entry) }));
  const large = sized
    .filter(({ table }) => (table?.bytes ?? 0) >= SMALL_BYTES)
    .toSorted((one, other) => other.table!.bytes - one.table!.bytes)
    .map(({ entry }) => [entry]);
  const small = new Map<string, typeof sized>();
  for (const each of sized.filter(({ table }) => (table?.bytes ?? 0) < SMALL_BYTES)) {
    const key = each.table?.table ?? '';
    const members = small.get(key);
    if (members) members.push(each);
    else small.set(key, [each]);
  }
  const groups: PlannedEntry[][] = [];
  let bytes = Infinity;
  for (const members of small.values()) {
    const size = members[0]!.table?.bytes ?? 0;
    if (bytes + size > SMALL_BYTES || groups.at(-1)!.length >= AT_ONCE) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(...members.map(({ entry }) => entry));
    bytes += size;
  }
  return [...large, ...groups];
}
