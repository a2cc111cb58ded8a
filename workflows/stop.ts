import { barrier, cluster, defineWorkflow, eachDatabase, hookOption, undo } from '../src/engine/workflow.ts';
import type { Row, StepPolicy } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';
import type { HookEvent } from '../src/operations/traffic/run-hooks-at.ts';

type HookPolicy = Pick<StepPolicy, 'leadsToOutage'> & {
  readonly when?: readonly string[];
  readonly unless?: readonly string[];
};

/** Commands of the operator, where there are any: for each database, or once for all that are switched over together. */
const hooks = (at: HookEvent, { when = [], unless = [], ...more }: HookPolicy = {}): readonly Row[] => {
  const own = { ...more, title: `Hooks at ${at} have run` };
  return [
    eachDatabase(op.runHooks, { at }, { ...own, when: [hookOption(at), ...when], unless: ['together', ...unless] }),
    cluster(op.runHooksTogether, { at }, { ...own, when: [hookOption(at), 'together', ...when], unless }),
  ];
};

/** Rows of the other direction, where rows shall travel back once the target is open. */
const wayBack = { when: 'reverse', reversed: true } as const;

/**
 * The cutover. Every database that has caught up is fenced, waits for its last row, and is opened on the target at once: outages
 * are short and one after the other, as many at a time as the budget says. Where they are switched over together, nobody opens before
 * all are ready and have agreed.
 */
export const stop = defineWorkflow({
  name: 'stop',
  title: 'Switch over to the target',
  rows: [
    cluster(op.createReplicationRole, {}, wayBack),
    eachDatabase(op.awaitCatchUp),
    // Its slot is made before the fence, since it waits for whoever writes on the whole cluster.
    eachDatabase(op.grantReplicationRole, {}, wayBack),
    eachDatabase(op.createPublication, { wayBack: true }, { ...wayBack, attempts: 20 }),
    eachDatabase(op.createSlot, { wayBack: true }, wayBack),
    eachDatabase(op.createSubscription, { wayBack: true }, wayBack),
    // Once more, so that the outage has only the very latest changes to copy.
    eachDatabase(op.copyLargeObjects),
    barrier('Every database has caught up'),

    ...hooks('before-fence', { leadsToOutage: true }),
    eachDatabase(op.checkDrift, {}, { findings: 'block' }),
    // Where all wait for the last one, nobody is fenced while others are still looked at.
    barrier('Nothing has changed that the target lacks', { when: 'together' }),
    eachDatabase(op.pausePgbouncer, {}, { when: 'pgbouncer', startsOutage: true }),
    eachDatabase(op.fenceSource, {}, { unless: 'together', startsOutage: true }),
    eachDatabase(op.awaitLsn, {}, { unless: 'together' }),
    cluster(op.fenceTogether, {}, { when: 'together', startsOutage: true }),
    cluster(op.awaitLsnTogether, {}, { when: 'together' }),
    ...hooks('fenced'),
    eachDatabase(op.copySequences, {}, { unless: 'together' }),
    eachDatabase(op.copyUnreplicated, {}, { unless: 'together' }),
    eachDatabase(op.compareTables, {}, { unless: 'together', findings: 'block' }),
    eachDatabase(op.createDeferredTriggers, {}, { unless: 'together' }),
    eachDatabase(op.carryOver, {}, { when: 'together', findings: 'block' }),
    eachDatabase(op.copyDatabasePrivileges, {}, { unless: 'together' }),
    eachDatabase(op.switchReverse, {}, { ...wayBack, unless: 'together' }),
    barrier('Every database is ready to be opened', { when: 'together' }),
    cluster(op.copyPrivilegesTogether, {}, { when: 'together' }),
    cluster(op.switchReverseTogether, {}, { when: ['reverse', 'together'], reversed: true }),
    ...hooks('before-open'),
    cluster(op.agreeToOpen, {}, { when: 'together' }),
    eachDatabase(op.openTarget, {}, { endsOutage: true }),
    eachDatabase(op.switchPgbouncer, {}, { when: 'pgbouncer', attempts: 20 }),
    ...hooks('opened', { unless: ['back'] }),
    ...hooks('rolled-back', { when: ['back'] }),
    barrier('Every database is open on the target'),

    undo(eachDatabase(op.createSubscription)),
    undo(eachDatabase(op.createSlot)),
    eachDatabase(op.startReverse, {}, wayBack),
    // Last, so that where it finds a difference the way back is there.
    eachDatabase(op.compareOpened, {}, { findings: 'block', when: 'compareOpened' }),
  ],
  // Databases that are decided for the target are opened, and keep their fence: undo leaves them alone.
  onCancel: [
    eachDatabase(op.finishOpening),
    undo(eachDatabase(op.fenceSource)),
    undo(eachDatabase(op.pausePgbouncer, {}, { when: 'pgbouncer' })),
    undo(eachDatabase(op.createSubscription, { wayBack: true }, wayBack)),
    undo(eachDatabase(op.createSlot, { wayBack: true }, wayBack)),
  ],
});
