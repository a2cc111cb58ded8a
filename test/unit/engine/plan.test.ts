import * as z from 'zod';
import { describe, expect, test } from 'vitest';
import { defineOperation, holds } from '../../../src/engine/operation.ts';
import { concurrentStages, outageBefore, planOf, stagesOf } from '../../../src/engine/plan.ts';
import {
  approval,
  barrier,
  cluster,
  defineWorkflow,
  eachDatabase,
  optionsOf,
  undo,
} from '../../../src/engine/workflow.ts';

const operation = (name: string, scope: 'cluster' | 'database') =>
  defineOperation({
    name,
    title: `${name} holds`,
    scope,
    input: z.strictObject({ bytes: z.int().default(1) }),
    output: z.strictObject({}),
    check: async () => holds({}),
    apply: async () => {},
    undo: async () => false,
  });
const servers = operation('check-servers', 'cluster');
const tables = operation('check-tables', 'database');
const copy = operation('copy', 'database');

describe('stages', () => {
  test('begin at barriers, at approvals, and where cluster rows meet database rows', () => {
    const stages = stagesOf([
      cluster(servers),
      eachDatabase(tables),
      barrier('Nothing blocks'),
      eachDatabase(copy),
      eachDatabase(tables),
      approval('Go?'),
      eachDatabase(copy),
    ]);
    expect(stages.map((stage) => [stage.index, stage.kind, stage.title])).toEqual([
      [0, 'cluster', 'check-servers holds'],
      [1, 'database', 'Nothing blocks'],
      [2, 'database', 'check-tables holds'],
      [3, 'gate', 'Go?'],
      [4, 'database', 'copy holds'],
    ]);
  });

  test('one that runs alongside the next ends behind its row', () => {
    const stages = stagesOf([
      cluster(servers),
      cluster(servers, {}, { alongside: true }),
      cluster(servers),
      eachDatabase(tables, {}, { alongside: true }),
      eachDatabase(copy),
      barrier('Done'),
    ]);
    expect(stages.map((stage) => stage.kind !== 'gate' && stage.steps.map(({ operation: name }) => name))).toEqual([
      ['check-servers', 'check-servers'],
      ['check-servers'],
      ['check-tables'],
      ['copy'],
    ]);
    expect(concurrentStages(stages).map((group) => group.map(({ index }) => index))).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  test('a step that comes twice in a lane has two keys, and undo a key of its own', () => {
    const [stage] = stagesOf([eachDatabase(copy), eachDatabase(copy, { bytes: 7 }), undo(eachDatabase(copy))]);
    expect(stage?.kind === 'database' && stage.steps.map((step) => [step.key, step.input])).toEqual([
      ['copy', { bytes: 1 }],
      ['copy-2', { bytes: 7 }],
      ['undo-copy', { bytes: 1 }],
    ]);
  });

  test('a row that depends on an option is there only in runs that have it, or have not', () => {
    const rows = [
      eachDatabase(tables, {}, { unless: 'hurry' }),
      barrier('All together', { when: 'together' }),
      eachDatabase(copy, {}, { when: 'reverse', reversed: true }),
      undo(eachDatabase(copy, {}, { reversed: true })),
    ];
    const keys = (options: Record<string, boolean>) =>
      stagesOf(rows, options).map((stage) => (stage.kind === 'gate' ? [] : stage.steps.map(({ key }) => key)));
    expect(keys({})).toEqual([['check-tables', 'undo-reverse-copy']]);
    expect(keys({ together: true, reverse: true })).toEqual([['check-tables'], ['reverse-copy', 'undo-reverse-copy']]);
    expect(keys({ hurry: true })).toEqual([['undo-reverse-copy']]);
    const flow = defineWorkflow({ name: 'f', title: 'F', rows });
    expect([...optionsOf(flow)]).toEqual(['hurry', 'together', 'reverse']);
  });

  test('a barrier without rows before it makes no stage', () => {
    expect(stagesOf([barrier('nothing yet'), cluster(servers), barrier('done')])).toHaveLength(1);
  });
});

test('a row of the wrong scope is refused when the workflow is written, not when it runs', () => {
  expect(() => eachDatabase(servers)).toThrow('check-servers is an operation of scope cluster');
});

test('a plan is pure: the same twice', () => {
  const workflow = defineWorkflow({ name: 'w', title: 'W', rows: [cluster(servers), eachDatabase(copy)] });
  const selection = [{ oid: 1, name: 'a' }];
  expect(planOf(workflow, selection)).toEqual(planOf(workflow, selection));
});

test('before a step of an outage come those of the outage, and what leads to it', () => {
  const stages = stagesOf([
    eachDatabase(tables),
    cluster(servers, {}, { leadsToOutage: true }),
    eachDatabase(tables),
    eachDatabase(copy, {}, { startsOutage: true }),
    eachDatabase(copy),
    eachDatabase(copy, {}, { endsOutage: true }),
    eachDatabase(tables),
  ]);
  const before = (key: string) => outageBefore(stages, 2, key)?.map(({ kind, step }) => [kind, step.key]);
  expect(before('copy-3')).toEqual([
    ['cluster', 'check-servers'],
    ['database', 'check-tables'],
    ['database', 'copy'],
    ['database', 'copy-2'],
  ]);
  expect(before('copy')).toEqual([
    ['cluster', 'check-servers'],
    ['database', 'check-tables'],
  ]);
  expect([before('check-tables'), before('check-tables-2'), outageBefore(stages, 1, 'check-servers')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
