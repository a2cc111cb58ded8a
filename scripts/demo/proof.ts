/** The last table: what must hold after an upgrade, each with what was counted. */
import { outageOf, median } from '../../test/helpers/workload/outage.ts';
import type { Outage } from '../../test/helpers/workload/outage.ts';
import { copyDifferences, pictureCatalog, pictureDifferences, remainsOf } from '../../test/helpers/workload/catalog.ts';
import type { CatalogPicture } from '../../test/helpers/workload/catalog.ts';
import { byDatabase } from '../../test/helpers/workload/journal.ts';
import type { JournalRecord } from '../../test/helpers/workload/journal.ts';
import { proveDatabases } from '../../test/helpers/workload/proof.ts';
import type { DatabaseProof, Problem } from '../../test/helpers/workload/proof.ts';
import type { WorkloadDatabase } from '../../test/helpers/workload/workload.ts';
import { count } from './say.ts';
import type { Verdict } from './say.ts';
import type { World } from './world.ts';

export interface Evidence {
  readonly world: World;
  readonly databases: readonly WorkloadDatabase[];
  readonly journal: readonly JournalRecord[];
  /** Both clusters before pgconvoy did anything. */
  readonly before: { readonly source: CatalogPicture; readonly target: CatalogPicture };
  /** pgconvoy's own clock, milliseconds per database. */
  readonly measured: readonly number[];
}

export async function prove(evidence: Evidence): Promise<Verdict[]> {
  const { world, databases, journal } = evidence;
  const rows = proveRows(await proveDatabases({ ...world, databases, journal, onSource: 'some' }), journal);
  return [...rows, ...(await proveCatalogs(evidence)), proveOutage(evidence)];
}

function proveRows(proofs: readonly DatabaseProof[], journal: readonly JournalRecord[]): Verdict[] {
  const problemsOf = (about: Problem['about']) =>
    proofs.flatMap(({ database, problems }) =>
      problems.filter((problem) => problem.about === about).map(({ text }) => `${database}: ${text}`),
    );
  const total = (of: (proof: DatabaseProof) => number) => count(proofs.reduce((sum, proof) => sum + of(proof), 0));
  const onTarget = journal.filter(({ type, side }) => type === 'write' && side === 'target').length;
  const verdict = (about: Problem['about'], what: string, facts: string): Verdict => {
    const problems = problemsOf(about);
    return { holds: problems.length === 0, what, facts, problems };
  };
  return [
    verdict(
      'writes',
      'every acknowledged write is there, once',
      `${total(({ writes }) => writes)} transactions, ${count(onTarget)} of them after the cutover`,
    ),
    verdict(
      'tables',
      'source and target have the same rows',
      `${total(({ tables }) => tables)} tables, ${total((proof) => proof.rows)} rows, by count and checksum`,
    ),
    verdict(
      'sequences',
      'sequences go on where they stopped',
      `${total(({ sequences }) => sequences)} sequences, up and down; ${total(({ values }) => values)} values taken, none twice`,
    ),
    verdict('errors', 'applications got no error but the fence', `${proofs.length} applications, one per database`),
  ];
}

async function proveCatalogs({ world, databases, before }: Evidence): Promise<Verdict[]> {
  const [source, target] = await Promise.all([pictureCatalog(world.source), pictureCatalog(world.target)]);
  const names = databases.map(({ name }) => name);
  const objects = names.reduce(
    (sum, name) => sum + (before.source.databases.get(name)?.length ?? 0),
    before.source.cluster.length,
  );
  const verdict = (what: string, facts: string, problems: readonly string[]): Verdict => ({
    holds: problems.length === 0,
    what,
    facts,
    problems,
  });
  const own = (picture: CatalogPicture): CatalogPicture => ({
    cluster: [],
    server: picture.server,
    databases: new Map([...picture.databases].filter(([name]) => !names.includes(name))),
  });
  return [
    verdict(
      'the target has the same objects',
      `${count(objects)} roles, settings, tables, columns, indexes, triggers, privileges …`,
      copyDifferences(before.source, target, names),
    ),
    verdict('nothing of pgconvoy is left on the source', 'its catalogs are as before', [
      ...pictureDifferences(before.source, source),
      ...(await remainsOf(world.source, source)),
    ]),
    verdict('nothing of pgconvoy is left on the target', 'its configuration is as before', [
      ...pictureDifferences(own(before.target), own(target)),
      ...(await remainsOf(world.target, target)),
    ]),
  ];
}

function proveOutage({ databases, journal, measured }: Evidence): Verdict {
  const records = byDatabase(journal);
  const outages = databases.map(({ name }) => outageOf(name, records.get(name) ?? []));
  const moved = outages.filter(
    (outage): outage is Outage & { milliseconds: number } => outage.milliseconds !== undefined,
  );
  const times = moved.map(({ milliseconds }) => milliseconds);
  const worst = moved.toSorted((a, b) => b.milliseconds - a.milliseconds)[0];
  const ms = (milliseconds: number) => `${milliseconds.toFixed(0)} ms`;
  return {
    holds: moved.length === databases.length,
    what: 'write outage, as applications saw it',
    facts:
      moved.length === 0
        ? 'no application has come to the target'
        : `median ${ms(median(times))}, worst ${ms(worst!.milliseconds)} (${worst!.database}); ` +
          `by pgconvoy's own clock ${ms(median(measured))}, ${ms(Math.max(...measured))}`,
    problems: outages
      .filter(({ milliseconds }) => milliseconds === undefined)
      .map(({ database }) => `the application of ${database} has not come to the target`),
  };
}
