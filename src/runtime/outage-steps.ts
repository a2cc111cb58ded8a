import type { OperationResult } from '../engine/run-operation.ts';
import { errorText } from '../errors.ts';
import { givenBackError } from '../operations/cutover/given-back.ts';
import type { GivenBackAsNoted } from '../postgres/catalog/agreement.ts';
import type { Side } from '../postgres/cluster.ts';
import type { Execute, FailedForGood, StepExecution } from '../queue/types.ts';
import type { Clusters } from './context.ts';
import { MOST_MS, askAgain, doneAgain, giveBackAll, readOutages } from './outages.ts';
import type { Outage } from './outages.ts';

interface Active {
  readonly execution: StepExecution;
  readonly broken: AbortController;
}

const isTogether = ({ run }: StepExecution): boolean => run.options['together'] === true;
/** The cluster that applications leave in this run. */
const sideOf = ({ run }: StepExecution): Side => (run.options['back'] === true ? 'target' : 'source');
const namesOf = ({ run }: StepExecution): string[] => run.databases.map(({ name }) => name);

const isOf = (execution: StepExecution) => {
  const { run, database } = execution;
  // Where one of those that open together was given back, nobody else need be kept from writing.
  const names = new Set(database && !isTogether(execution) ? [database.name] : namesOf(execution));
  return (note: GivenBackAsNoted) => note.run === run.id && names.has(note.database);
};

/**
 * What is particular about steps between the fence and the opening: where one fails for good, its database is given back at once, with all
 * that open together with it; where the database was given back, none goes on; and one that a person wants tried again does everything
 * from the fence on once more, since none of it counts any more, and before that what leads to the fence.
 */
export class OutageSteps {
  readonly #clusters: Clusters;
  readonly #active = new Set<Active>();
  /** Given back, as was seen last. Only where something is in here the ledger is asked: inside an outage each round trip counts. */
  #known: readonly GivenBackAsNoted[] = [];

  constructor(clusters: Clusters) {
    this.#clusters = clusters;
  }

  /** @param one does a single step, whatever is around it */
  async run(execution: StepExecution, one: Execute): Promise<OperationResult> {
    if (execution.asked && (execution.outage || isTogether(execution))) await this.#allow(execution);
    if (!execution.outage) return one(execution);
    const given = await this.#givenBack(execution);
    if (given) throw given;
    const active: Active = { execution, broken: new AbortController() };
    const { signal: broken } = active.broken;
    const bound = { ...execution, signal: AbortSignal.any([execution.signal, broken]) };
    this.#active.add(active);
    try {
      await this.#onceMore(bound, execution.outage, one);
      return await one(bound);
    } catch (error) {
      if (execution.signal.aborted) throw error;
      // Whatever the abort made fail in there, this is why; or that rows were written again before anybody knew here.
      throw broken.aborted ? broken.reason : ((await this.#noted(execution).catch(() => undefined)) ?? error);
    } finally {
      this.#active.delete(active);
    }
  }

  /** Ends what works on databases that were given back meanwhile. */
  noteGivenBack(databases: readonly GivenBackAsNoted[]): void {
    this.#known = databases;
    for (const { execution, broken } of this.#active) {
      void this.#givenBack(execution)
        .then((error) => error && broken.abort(error))
        .catch((error: unknown) => execution.log.debug({ reason: errorText(error) }, 'cannot be asked'));
    }
  }

  /** Gives back what the step has failed in, as long as it is not decided to open it. */
  readonly failed: FailedForGood = async (execution) => {
    const { database, run, step, log } = execution;
    if (!execution.outage && !isTogether(execution)) return undefined;
    const side = sideOf(execution);
    const signal = AbortSignal.timeout(MOST_MS);
    const concerned = new Set(isTogether(execution) || !database ? namesOf(execution) : [database.name]);
    const { outages } = await readOutages(this.#clusters, side, signal);
    const open = outages.filter((each) => !each.decided && each.run === run.id && concerned.has(each.database));
    const why = (outage: Outage) =>
      !database || outage.database === database.name
        ? `the step ${step.key} has failed`
        : `it opens together with "${database.name}", where the step ${step.key} has failed`;
    const { given, kept, afterwards } = await giveBackAll({ clusters: this.#clusters, side, why, log, signal }, open);
    const now = given.map((outage) => ({ database: outage.database, run: run.id, why: why(outage) }));
    this.noteGivenBack([...this.#known, ...now]);
    await afterwards;
    const told = [
      ...(given.length > 0 ? [`${named(given)} given back: the ${side} takes writes again`] : []),
      ...(kept.length > 0
        ? [`${named(kept)} not given back yet: the ${side} does not answer; a worker tries again`]
        : []),
    ];
    return told.length > 0 ? told.join('. ') : undefined;
  };

  async #allow(execution: StepExecution): Promise<void> {
    const { run, database, signal } = execution;
    const names = isTogether(execution) || !database ? namesOf(execution) : [database.name];
    await askAgain(this.#clusters, sideOf(execution), signal, run.id, names);
    this.#known = this.#known.filter((note) => note.run !== run.id || !names.includes(note.database));
  }

  async #givenBack(execution: StepExecution) {
    // It may have been asked for meanwhile.
    return this.#known.some(isOf(execution)) ? this.#noted(execution) : undefined;
  }

  /** What the ledger says now. */
  async #noted(execution: StepExecution) {
    const { database, signal } = execution;
    const notes = (await readOutages(this.#clusters, sideOf(execution), signal)).givenBack.filter(isOf(execution));
    const note = notes.find((each) => each.database === database?.name) ?? notes[0];
    return note && givenBackError(sideOf(execution), note.database, note);
  }

  /**
   * The steps before this one, where they were done behind a fence that is down: those of the cluster, and those of each database for which
   * they do not count; a database's own step does only its own once more, and leaves the others to the next one of the cluster.
   */
  async #onceMore(execution: StepExecution, outage: NonNullable<StepExecution['outage']>, one: Execute): Promise<void> {
    const { database, run, signal, note } = execution;
    // The first one of the outage has nothing behind it.
    if (!execution.again && (database || execution.step.policy.startsOutage)) return;
    const { outages } = await readOutages(this.#clusters, sideOf(execution), signal);
    const known = new Map(outages.map((each) => [each.database, each]));
    const stale = (database ? [database] : run.databases).filter(({ name }) => {
      const standing = known.get(name);
      return !standing?.decided && (database || !standing || standing.again);
    });
    if (stale.length === 0) return;
    for (const { kind, stage, step } of outage) {
      note(`once more, since what was done before does not count any more: ${step.key}`);
      const queue = kind === 'cluster' ? [undefined] : [...stale];
      const drain = async () => {
        while (queue.length > 0) {
          const startedAt = Date.now();
          const of = queue.shift();
          const result = await one({ ...execution, step, database: of, again: true });
          execution.repeated({ stage, key: step.key, database: of?.name, startedAt, ...result });
        }
      };
      const drained = Array.from({ length: this.#clusters.settings.budgets.cutovers }, () =>
        drain().catch((error: unknown) => {
          queue.length = 0;
          throw error;
        }),
      );
      // Whoever is at it ends first: after a failure the databases are given back, and nobody works on them.
      await Promise.allSettled(drained);
      await Promise.all(drained);
    }
    const names = stale.map(({ name }) => name);
    if (!database) await doneAgain(this.#clusters, sideOf(execution), signal, run.id, names);
  }
}

function named(outages: readonly Outage[]): string {
  const [first, ...more] = outages;
  return more.length === 0 ? `"${first?.database}" was` : `${outages.length} databases that open together were`;
}
