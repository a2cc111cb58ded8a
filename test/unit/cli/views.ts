import type { RunView, StageView, StepView } from '../../../src/queue/types.ts';

/** Views of runs for renderers, with a fixed clock. */
export const NOW = Date.UTC(2026, 10, 23, 4, 30, 0);

const RUN = 'upgrade-1123-0425-k3f';

function step(part: Partial<StepView> & Pick<StepView, 'key' | 'state'>): StepView {
  return {
    id: `${RUN}.${part.stage ?? 0}.${part.database ?? 'cluster'}.${part.key}`,
    stage: 0,
    operation: part.key,
    title: `${part.key} holds`,
    queue: 'operation',
    database: undefined,
    attempts: part.state === 'pending' ? 0 : 1,
    findings: [],
    attemptTimes: [],
    ...part,
  };
}

/** A lane from the states of its steps, in order: `{ 'create-slot': 'completed', 'copy-tables': 'active' }`. */
export function lane(
  database: string | undefined,
  states: Readonly<Record<string, StepView['state'] | Partial<StepView>>>,
): StepView[] {
  return Object.entries(states).map(([key, state]) =>
    step({ key, database, ...(typeof state === 'string' ? { state } : { state: 'active', ...state }) }),
  );
}

export function stage(index: number, part: Partial<StageView>): StageView {
  return {
    index,
    kind: 'database',
    title: `Stage ${index + 1} holds`,
    state: 'running',
    ...part,
    steps: (part.steps ?? []).map((each) => ({ ...each, stage: index })),
  };
}

export function run(part: Partial<RunView> & Pick<RunView, 'stages'>): RunView {
  const names = new Set(part.stages.flatMap((each) => each.steps.flatMap(({ database }) => database ?? [])));
  const open = part.stages.findIndex((each) => each.state !== 'completed');
  return {
    id: RUN,
    workflow: 'upgrade',
    title: 'Upgrade the cluster',
    state: 'running',
    by: 'ann@ops1',
    version: '0.1.0',
    options: {},
    databases: [...names].map((name, index) => ({ oid: 16_384 + index, name })),
    createdAt: NOW - 252_000,
    startedAt: NOW - 251_000,
    ...(open === -1 ? {} : { stage: open }),
    ...part,
  };
}

export const failure = (message: string, hint: string, exitCode: 1 | 3 | 4 = 1) => ({
  name: 'PgconvoyError',
  message,
  hint,
  exitCode,
});
