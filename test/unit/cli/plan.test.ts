import { expect, test } from 'vitest';
import * as z from 'zod';
import { renderPlan } from '../../../src/cli/render/plan.ts';
import { plain } from '../../../src/cli/render/style.ts';
import { defineOperation, holds } from '../../../src/engine/operation.ts';
import { planOf } from '../../../src/engine/plan.ts';
import { approval, barrier, cluster, defineWorkflow, eachDatabase, undo } from '../../../src/engine/workflow.ts';

const operation = (name: string, title: string, scope: 'cluster' | 'database') =>
  defineOperation({
    name,
    title,
    scope,
    input: z.object({}),
    output: z.null(),
    check: async () => holds(null),
    apply: async () => {},
    undo: async () => false,
  });
const roles = operation('copy-roles', 'Every role of the source exists on the target', 'cluster');
const slot = operation('create-slot', 'The slot exists', 'database');
const copy = operation('copy-tables', 'Every row is on the target', 'database');

const workflow = defineWorkflow({
  name: 'upgrade',
  title: 'Upgrade the cluster',
  rows: [
    cluster(roles, {}, { findings: 'block' }),
    eachDatabase(slot, {}, { alongside: true }),
    eachDatabase(copy),
    barrier('Every database is streaming'),
    approval('Switch over now?'),
    undo(eachDatabase(slot)),
  ],
});

test('databases, those left out with the reason, and every stage with its steps', () => {
  const names = ['animals', 'My "odd" DB', 'billing', 'orders', 'shop', 'a_database_with_a_long_name'];
  const plan = planOf(
    workflow,
    names.map((name, index) => ({ oid: 16_384 + index, name })),
  );
  const leftOut = [
    { name: 'template0', reason: 'the template that initdb made; the target has its own' },
    { name: 'test1', reason: 'excluded by "test*"' },
    { name: 'test2', reason: 'excluded by "test*"' },
  ];
  expect(renderPlan({ ...plan, engine: 'native' }, leftOut, plain, 80)).toMatchSnapshot();
});

test('no database at all is said', () => {
  expect(renderPlan({ ...planOf(workflow, []), engine: 'native' }, [], plain, 80)).toContain(
    'No database is selected.',
  );
});
