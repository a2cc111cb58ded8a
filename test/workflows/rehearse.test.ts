import { expect, test } from 'vitest';
import { planOf } from '../../src/engine/plan.ts';
import { optionsOf } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { rehearse } from '../../workflows/rehearse.ts';
import { stop } from '../../workflows/stop.ts';

/** Of a single database, with every option but those that leave rows out. */
const keysOf = (workflow: Workflow): string[] => {
  const options = Object.fromEntries(
    [...optionsOf(workflow)].map((name) => [name, name !== 'together' && name !== 'back']),
  );
  return planOf(workflow, [{ oid: 1, name: 'a' }], options).stages.flatMap((stage) =>
    stage.kind === 'gate' ? [] : stage.steps.map(({ key }) => key),
  );
};

/** What belongs to the source, to what is in front of it, or to the way back: a prediction says that it is not in it. */
const NOT_REHEARSED = new Set([
  // Instead of these the target is held.
  'fence-source',
  'await-lsn',
  'run-hooks',
  'run-hooks-2',
  'run-hooks-3',
  'reverse-switch-reverse',
]);

test('whatever the cutover does inside the outage is rehearsed, in its order, or is known not to be', () => {
  const cutover = keysOf(stop);
  const inside = cutover.slice(cutover.indexOf('fence-source'), cutover.indexOf('open-target'));
  const expected = inside.filter((key) => !NOT_REHEARSED.has(key));
  const keys = keysOf(rehearse);
  const rehearsed = keys.slice(keys.indexOf('hold-target') + 1, keys.indexOf('undo-hold-target'));
  expect(rehearsed).toEqual(expected);
  expect(expected).toContain('copy-sequences');
});

test('it never fences, opens, or switches traffic', () => {
  const forbidden = /fence-source|await-lsn|agree|open-target|switch|pgbouncer|hooks|reverse/;
  expect(keysOf(rehearse).filter((key) => forbidden.test(key))).toEqual([]);
});
