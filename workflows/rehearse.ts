import { barrier, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';
import { PUT_BACK } from '../src/operations/rehearsal/put-back.ts';
import type { AnyOperation } from '../src/engine/operation.ts';
import { stop } from './stop.ts';
import { untilStreaming } from './upgrade.ts';

/** What the cutover does and a rehearsal does as it is: it looks, or it is put back. */
const AS_IT_IS: ReadonlySet<AnyOperation> = new Set([
  op.awaitCatchUp,
  op.copyLargeObjects,
  op.checkDrift,
  op.compareTables,
  ...PUT_BACK,
]);

const positionOf = (operation: AnyOperation): number =>
  stop.rows.findIndex((row) => 'operation' in row && row.operation === operation);
const [fence, opening] = [positionOf(op.fenceSource), positionOf(op.openTarget)];

/** A row of the cutover as it is rehearsed. Left out is what belongs to the source, to what is in front of it, or to opening. */
function rehearsed(row: Row, position: number): readonly Row[] {
  if (!('operation' in row)) return row.when === undefined && row.unless === undefined ? [row] : [];
  const { operation, policy } = row;
  if (operation === op.fenceSource) {
    return [eachDatabase(op.foreseeFence), eachDatabase(op.holdTarget, {}, { startsOutage: true })];
  }
  if (!AS_IT_IS.has(operation) || policy.reversed || policy.direction === 'undo') return [];
  // What a cutover of many together does at once, is measured database by database.
  const { when: _when, unless: _unless, ...each } = policy;
  return [position < fence ? row : { ...row, policy: { ...each, moving: true } }];
}

/**
 * The whole upgrade up to streaming, then a cutover on the target alone: what it does there is measured and put back. The source is
 * never fenced.
 */
export const rehearse = defineWorkflow({
  name: 'rehearse',
  title: 'Rehearse the upgrade',
  rows: [
    ...untilStreaming,
    ...stop.rows.slice(0, opening).flatMap(rehearsed),
    undo(eachDatabase(op.holdTarget)),
    eachDatabase(op.awaitCatchUp),
    barrier('Every target is as it was before, and streams'),
  ],
  onCancel: [undo(eachDatabase(op.holdTarget))],
});
