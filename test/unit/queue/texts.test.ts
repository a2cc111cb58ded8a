import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { ConfigError, ExitCode } from '../../../src/errors.ts';
import { defineOperation, definePreflight, holds } from '../../../src/engine/operation.ts';
import { approval, cluster, defineWorkflow, eachDatabase, undo } from '../../../src/engine/workflow.ts';
import { stagesOf } from '../../../src/engine/plan.ts';
import { withoutSecrets } from '../../../src/errors.ts';
import { fingerprintOf, firstChange } from '../../../src/queue/run-plan.ts';
import { gateId, lastIdsOf, runOf, stepId } from '../../../src/queue/queues.ts';
import { runId } from '../../../src/queue/runs.ts';
import { errorFromText, failureText, stepErrorOf } from '../../../src/queue/step-error.ts';
import { growing } from '../../../src/queue/workers.ts';

const operation = (name: string) =>
  defineOperation({
    name,
    title: `${name} holds`,
    scope: 'database',
    input: z.object({ size: z.number().default(1) }),
    output: z.null(),
    check: async () => holds(null),
    apply: async () => undefined,
    undo: async () => false,
  });
const look = definePreflight({
  name: 'look',
  title: 'Look',
  scope: 'cluster',
  input: z.object({}),
  output: z.null(),
  check: async () => holds(null),
});

describe('ids', () => {
  test('of a run: short, of its time, allowed in BullMQ', () => {
    expect(runId('upgrade', new Date('2026-11-23T04:12:59Z'), 'k3f')).toBe('upgrade-1123-0412-k3f');
  });
  test('of steps and gates lead back to their run', () => {
    const id = stepId('upgrade-1123-0412-k3f', 2, { oid: 16_384, name: 'a:b' }, 'copy-schema');
    expect(id).toBe('upgrade-1123-0412-k3f.2.16384.copy-schema');
    expect(stepId('r', 0, undefined, 'copy-roles')).toBe('r.0.cluster.copy-roles');
    expect([runOf(id), runOf(gateId('r-undo', 3))]).toEqual(['upgrade-1123-0412-k3f', 'r-undo']);
  });
  test('the last steps of all lanes are what a barrier waits for', () => {
    const databases = [
      { oid: 1, name: 'a' },
      { oid: 2, name: 'b' },
    ];
    const step = (key: string) => ({ key, operation: key, title: key, queue: 'operation' as const });
    expect(lastIdsOf('r', 1, { kind: 'database', title: '', steps: [step('x'), step('y')] }, databases)).toEqual([
      'r.1.1.y',
      'r.1.2.y',
    ]);
    expect(lastIdsOf('r', 1, { kind: 'cluster', title: '', steps: [step('x')] }, databases)).toEqual(['r.1.cluster.x']);
    expect(lastIdsOf('r', 2, { kind: 'gate', title: '', steps: [] }, databases)).toEqual(['r.2.gate']);
  });
});

describe('the fingerprint of a run', () => {
  const of = (...rows: Parameters<typeof stagesOf>[0]) => fingerprintOf(stagesOf(rows));
  test('does not depend on titles', () => {
    const renamed = { ...operation('a'), title: 'Other words' };
    expect(of(eachDatabase(renamed), approval('Now?'))).toBe(of(eachDatabase(operation('a')), approval('Go?')));
  });
  test('differs by step, input, policy, direction and gate', () => {
    const row = eachDatabase(operation('a'));
    const others = [
      of(row),
      of(eachDatabase(operation('b'))),
      of(eachDatabase(operation('a'), { size: 2 })),
      of(eachDatabase(operation('a'), undefined, { attempts: 9 })),
      of(undo(row)),
      of(row, approval('Go?')),
      of(row, row),
    ];
    expect(new Set(others).size).toBe(others.length);
  });
  test('a workflow that only looks changes nothing; one that takes back does', () => {
    const flow = defineWorkflow({ name: 'w', title: 'W', rows: [cluster(look), approval('Go?')] });
    expect(firstChange(flow.rows, {})).toBeNull();
    expect(firstChange([...flow.rows, eachDatabase(operation('a'))], {})).toBe(2);
    expect(firstChange([undo(eachDatabase(operation('a')))], {})).toBe(0);
  });
});

describe('texts', () => {
  test.each([
    ['redis://me:geheim@host:6379/1 is down', 'redis://***@host:6379/1 is down'],
    ['rediss://:geheim@host', 'rediss://***@host'],
    ['host=x password=geheim user=y', 'host=x password=*** user=y'],
    ["password='ge\\'heim' user=y", 'password=*** user=y'],
    ['PASSWORD: "ge heim", next', 'PASSWORD: ***, next'],
    ['postgres://host/db has nothing to hide', 'postgres://host/db has nothing to hide'],
    ['password authentication failed for user "x"', 'password authentication failed for user "x"'],
  ])('%s', (text, shown) => expect(withoutSecrets(text)).toBe(shown));

  test('an error keeps cause, remedy and exit code, and comes back from the text alone', () => {
    const kept = stepErrorOf(new ConfigError('no such file', { hint: 'Make it.' }));
    expect(kept).toEqual({ name: 'ConfigError', message: 'no such file', hint: 'Make it.', exitCode: ExitCode.usage });
    expect(errorFromText(failureText(kept))).toMatchObject({ message: 'no such file', hint: 'Make it.' });
    expect(errorFromText('job stalled more than allowable limit')).toMatchObject({
      message: 'job stalled more than allowable limit',
      hint: '',
    });
    expect(stepErrorOf('thrown text').message).toBe('Unexpected: thrown text');
  });
});

test('pauses double from the first to the longest, half of them chance', () => {
  const pauses = (chance: number) => [1, 2, 3, 5, 6, 50].map((count) => growing(count, [1_000, 30_000], () => chance));
  expect(pauses(1)).toEqual([1_000, 2_000, 4_000, 16_000, 30_000, 30_000]);
  expect(pauses(0)).toEqual([500, 1_000, 2_000, 8_000, 15_000, 15_000]);
});
