import { describe, expect, test } from 'vitest';
import { planOf } from '../../src/engine/plan.ts';
import type { Plan } from '../../src/engine/plan.ts';
import { operations } from '../../src/operations/index.ts';
import { optionsOf } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { workflows } from '../../workflows/index.ts';

const databases = [
  { oid: 16_384, name: 'testdb' },
  { oid: 16_999, name: 'My "odd" DB' },
];

/** As a person would note it down: one line a stage, its steps behind it. */
const outline = (plan: Plan): string[] =>
  plan.stages.map((stage) =>
    stage.kind === 'gate'
      ? `gate: ${stage.title}`
      : `${stage.kind}${stage.alongside ? ', alongside the next' : ''}: ${stage.steps.map((step) => `${step.key}@${step.queue}`).join(' → ')}`,
  );

const everyOption = (workflow: Workflow) => Object.fromEntries([...optionsOf(workflow)].map((name) => [name, true]));

describe('plans', () => {
  test.each(Object.keys(workflows))('%s does what it always did', (name) => {
    expect(outline(planOf(workflows[name]!, databases))).toMatchSnapshot();
  });

  test.each(Object.values(workflows).filter((workflow) => optionsOf(workflow).size > 0))(
    '$name with every option',
    (workflow) => {
      expect(outline(planOf(workflow, databases, everyOption(workflow)))).toMatchSnapshot();
    },
  );

  test('every row has an operation that workers know, every operation a row', () => {
    const used = new Set(
      Object.values(workflows).flatMap((workflow) => [
        // Some rows are there only where databases are not switched over together.
        ...[everyOption(workflow), { ...everyOption(workflow), together: false }]
          .flatMap((options) => planOf(workflow, databases, options).stages)
          .flatMap((stage) => (stage.kind === 'gate' ? [] : stage.steps.map((step) => step.operation))),
        ...(workflow.onCancel ?? []).flatMap((row) => ('operation' in row ? [row.operation.name] : [])),
      ]),
    );
    expect([...used].sort()).toEqual([...operations.keys()].sort());
  });

  test('a plan keeps the selection and carries no secret', () => {
    const plan = planOf(workflows['upgrade']!, databases);
    expect(plan.databases).toEqual(databases);
    expect(JSON.stringify(plan)).not.toMatch(/password/i);
  });
});
