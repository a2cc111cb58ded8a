import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { Hook, HookEvent, HookRun } from '../../postgres/hooks.ts';

export type { HookEvent };

export const HookInput = z.strictObject({
  at: z.enum(['before-fence', 'fenced', 'before-open', 'opened', 'rolled-back']),
});

const HookRan = z.object({
  program: z.string(),
  milliseconds: z.number(),
  attempts: z.number(),
  failure: z.string().optional(),
});

/** What a step of hooks has observed; failures are in here only where the run goes on in spite of them. */
export const HooksRan = z.strictObject({ at: z.string(), ran: z.array(HookRan) });
export type HooksRan = z.output<typeof HooksRan>;

type HookContext = Pick<
  OperationContext,
  'traffic' | 'source' | 'sourceCluster' | 'sourceLedger' | 'targetCluster' | 'run' | 'signal' | 'log' | 'note'
>;

/** Until here there is a way back: a command that fails takes it. Later the databases are where they shall be. */
const MUST_SUCCEED: ReadonlySet<HookEvent> = new Set(['before-fence', 'fenced', 'before-open']);

const hooksKey = (run: string, at: HookEvent, database: string | undefined) => ({
  kind: 'hooks',
  database: database ?? '',
  object: `${run}/${at}`,
});

/** What the commands of this moment came to in this run, or undefined where they have not run to their end. */
export async function hooksRan(context: HookContext, at: HookEvent, database?: string): Promise<HooksRan | undefined> {
  const entry = await context.sourceLedger.find(hooksKey(context.run.id, at, database));
  return entry && HooksRan.parse(entry.before);
}

/**
 * Runs the commands of this moment, one after the other in the order of the configuration. That they have run is noted when all have:
 * who is killed before runs them again, so they run at least once.
 * @param database undefined: for all databases of the run at once
 * @throws PgconvoyError where one fails before the target is open
 */
export async function runHooksAt(context: HookContext, at: HookEvent, database?: string): Promise<void> {
  const { traffic, sourceLedger, run } = context;
  const ran: HookRun[] = [];
  for (const hook of traffic.hooks) {
    if (hook.at === at) ran.push(await runHook(context, hook, database === undefined ? run.databases : [database]));
  }
  await sourceLedger.replace(hooksKey(run.id, at, database), { at, ran } satisfies HooksRan);
}

/** Where a database is given back, the moments come again when the run is retried. */
export async function forgetHooks({
  sourceLedger,
  source,
  run,
}: Pick<HookContext, 'sourceLedger' | 'source' | 'run'>): Promise<void> {
  const keys = [...MUST_SUCCEED].flatMap((at) => [source.name, undefined].map((whose) => hooksKey(run.id, at, whose)));
  // Who gives back for somebody else does not know which hooks that run has.
  for (const { database, object } of await sourceLedger.entries('hooks')) {
    const key = keys.find((each) => each.database === database && each.object === object);
    if (key) await sourceLedger.forget(key);
  }
}

async function runHook(context: HookContext, hook: Hook, databases: readonly string[]): Promise<HookRun> {
  const { log, note, signal } = context;
  const ran = await hook.run({
    environment: environmentOf(context, hook.at, databases),
    signal,
    onLine: (line) => note(`${hook.program}: ${line}`),
  });
  const { failure, milliseconds, attempts } = ran;
  if (failure === undefined) {
    log.info({ hook: hook.program, at: hook.at, milliseconds, attempts }, 'hook has run');
    return ran;
  }
  log.warn({ hook: hook.program, at: hook.at, attempts, failure }, 'hook failed');
  note(`hook at ${hook.at}: ${failure}`);
  if (!MUST_SUCCEED.has(hook.at)) return ran;
  throw new PgconvoyError(`here, the hook at ${hook.at}: ${failure}${attempts > 1 ? ` (${attempts} attempts)` : ''}`, {
    hint: `What it wrote is in pgconvoy logs ${context.run.id}. Mend it, or take it out of cutover.hooks, then retry the step.`,
  });
}

/** Old and new cluster as the configuration has them, whichever direction the run goes. */
function environmentOf(
  { sourceCluster, targetCluster, run }: HookContext,
  at: HookEvent,
  databases: readonly string[],
): Record<string, string> {
  const isBack = sourceCluster.side === 'target';
  const [old, fresh] = isBack ? [targetCluster, sourceCluster] : [sourceCluster, targetCluster];
  return {
    PGCONVOY_EVENT: at,
    PGCONVOY_RUN: run.id,
    PGCONVOY_DIRECTION: isBack ? 'back' : 'forward',
    PGCONVOY_DATABASES: JSON.stringify(databases),
    PGCONVOY_SOURCE_HOST: old.cluster.address.host,
    PGCONVOY_SOURCE_PORT: String(old.cluster.address.port),
    PGCONVOY_TARGET_HOST: fresh.cluster.address.host,
    PGCONVOY_TARGET_PORT: String(fresh.cluster.address.port),
  };
}
