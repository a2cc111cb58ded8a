import * as z from 'zod';
import type { SelectedDatabase } from '../../engine/plan.ts';
import { hasOpened } from '../../queue/opening.ts';
import type { StepView } from '../../queue/types.ts';
import type { Ledgers } from '../../runtime/read-ledgers.ts';
import { withParts } from '../run-facts.ts';
import type { LastlyDone } from './last-pass.ts';
import type { ReportedComparison, ReportedCutover, ReportedDatabase, ReportedSequences } from './report.ts';

/** What the steps of one database have observed. Another version may have written them: what does not fit is left out. */
export function observedOf(
  { name }: SelectedDatabase,
  jobs: readonly LastlyDone[],
  cluster: readonly LastlyDone[],
  opened: Ledgers['opened'],
): Pick<ReportedDatabase, 'state' | 'objects' | 'cutover' | 'wayBack' | 'sequences' | 'comparison'> {
  const steps = jobs.flatMap(withParts);
  const cutover = cutoverOf(steps, fenceOf(name, steps, cluster), opened.get(name));
  return {
    state: stateOf(steps, cutover),
    objects: {
      schema: countOf(steps, 'copy-schema', 'objects'),
      indexes: countOf(steps, 'build-indexes', 'objects'),
      tables: countOf(steps, 'copy-tables', 'tables'),
      triggers: countOf(steps, 'create-deferred-triggers', 'triggers'),
      materializedViews: countOf(steps, 'copy-unreplicated', 'views'),
      unloggedTables: countOf(steps, 'copy-unreplicated', 'unloggedTables'),
      largeObjects: countOf(steps, 'copy-unreplicated', 'largeObjects'),
      extensionTables: countOf(steps, 'copy-unreplicated', 'extensionTables'),
    },
    cutover,
    wayBack: wayBackOf(steps),
    sequences: sequencesOf(steps),
    comparison: comparisonOf(steps),
  };
}

function stateOf(steps: readonly StepView[], cutover: ReportedCutover | null): ReportedDatabase['state'] {
  const is = (state: StepView['state']) => steps.some((step) => step.state === state);
  if (is('failed')) return 'failed';
  if (is('cancelled')) return 'cancelled';
  if (!steps.every((step) => step.state === 'completed')) return 'unfinished';
  return cutover?.openedAt ? 'open' : 'done';
}

/** It has found that there is none, and cannot be. */
const NoWayBack = z.object({ subscription: z.null() });

function wayBackOf(steps: readonly StepView[]): ReportedDatabase['wayBack'] {
  const last = steps.findLast((step) => step.operation === 'start-reverse' && step.state === 'completed');
  if (!last) return null;
  if (!last.key.startsWith('undo-')) return NoWayBack.safeParse(last.output).success ? null : 'open';
  return last.changed ? 'ended' : null;
}

/** The step of that operation that was done last; not one that takes it back. */
const lastOf = (steps: readonly StepView[], operation: string): StepView | undefined =>
  steps.findLast((step) => step.operation === operation && step.state === 'completed' && !step.key.startsWith('undo-'));

function outputOf<T extends z.ZodType>(
  steps: readonly StepView[],
  operation: string,
  shape: T,
): z.output<T> | undefined {
  return shape.safeParse(lastOf(steps, operation)?.output).data;
}

const countOf = (steps: readonly StepView[], operation: string, key: string): number | null =>
  outputOf(steps, operation, z.object({ [key]: z.number() }))?.[key] ?? null;

const Fence = z.object({ lsn: z.string(), fencedAt: z.string(), superusers: z.array(z.string()) });
const Opening = z.object({ lsn: z.string(), fencedAt: z.string(), openedAt: z.string(), outageMs: z.number() });

const Fences = z.object({ databases: z.array(Fence.extend({ database: z.string() })) });

interface RaisedFence {
  readonly fence: z.output<typeof Fence> | undefined;
  /** Not only found. */
  readonly changed: boolean;
  readonly repeats: number;
}

/** Its own step has raised it, or one of the cluster for all that are switched over together. */
function fenceOf(name: string, steps: readonly LastlyDone[], cluster: readonly LastlyDone[]): RaisedFence {
  const all = outputOf(cluster, 'fence-together', Fences)?.databases;
  const step = lastOf(steps, 'fence-source') ?? lastOf(cluster, 'fence-together');
  return {
    fence: outputOf(steps, 'fence-source', Fence) ?? all?.find(({ database }) => database === name),
    changed: step?.changed === true,
    repeats: [...steps, ...cluster].find(({ operation }) => FENCES.has(operation))?.lastly?.repeats ?? 0,
  };
}

const FENCES: ReadonlySet<string> = new Set(['fence-source', 'fence-together']);

function cutoverOf(
  steps: readonly LastlyDone[],
  { fence, changed, repeats }: RaisedFence,
  noted: z.output<typeof Opening> | undefined,
): ReportedCutover | null {
  const more = { superusers: fence?.superusers ?? [], passes: 1 + repeats };
  const opening = outputOf(steps, 'open-target', Opening);
  if (opening) {
    // A step that was killed after it had opened the database finds it open, behind the fence that this run has raised.
    const isOurs = changed || steps.some(hasOpened);
    return { ...opening, from: isOurs ? 'run' : 'earlier', ...more };
  }
  if (noted) return { ...noted, from: 'ledger', ...more };
  if (!fence) return null;
  const { lsn, fencedAt, superusers } = fence;
  return { lsn, fencedAt, superusers, from: 'run', openedAt: null, outageMs: null, passes: more.passes };
}

const Position = z.object({ last: z.string(), called: z.boolean() });
const Sequences = z.object({
  sequences: z.number(),
  listed: z.array(z.object({ sequence: z.string(), before: Position.nullable(), after: Position })),
});

function sequencesOf(steps: readonly StepView[]): ReportedSequences | null {
  const total = countOf(steps, 'copy-sequences', 'sequences');
  if (total === null) return null;
  const changes = Sequences.safeParse(lastOf(steps, 'copy-sequences')?.changes).data;
  return { total, changed: changes?.sequences ?? 0, listed: changes?.listed ?? [] };
}

const Comparison = z.object({
  method: z.enum(['checksum', 'count', 'none']),
  checksum: z.enum(['hash', 'md5', 'none']),
  tables: z.number(),
  rows: z.number(),
  // What earlier versions have not told.
  differing: z.number().default(0),
  left: z.number().default(0),
  differences: z.array(z.object({ table: z.string(), what: z.string() })).default([]),
  listed: z.array(z.object({ table: z.string(), rows: z.number(), sum: z.string().nullable() })),
});

/** Before the opening and after it, as one: each table was compared once. */
function comparisonOf(steps: readonly StepView[]): ReportedComparison | null {
  const parts = ['compare-tables', 'compare-opened', 'compare-live'].flatMap(
    (operation) => outputOf(steps, operation, Comparison) ?? [],
  );
  const [first, ...others] = parts.some(({ method }) => method !== 'none')
    ? parts.filter(({ method, left }) => method !== 'none' || left > 0)
    : parts;
  if (!first) return null;
  return others.reduce<ReportedComparison>(
    (all, part) => ({
      method: all.method === 'none' ? part.method : all.method,
      checksum: all.checksum === 'none' ? part.checksum : all.checksum,
      tables: all.tables + part.tables,
      rows: all.rows + part.rows,
      differing: all.differing + part.differing,
      // What the first has left, the second has compared; what that has left, nobody.
      left: part.left,
      differences: [...all.differences, ...part.differences],
      listed: [...all.listed, ...part.listed],
    }),
    first,
  );
}
