import * as z from 'zod';
import { expect, test } from 'vitest';
import { Config } from '../../../src/config/schema.ts';
import { inOneJob, isChanging } from '../../../src/engine/in-one-job.ts';
import { defineOperation, definePreflight, holds, lacks } from '../../../src/engine/operation.ts';
import type { OperationContext } from '../../../src/engine/operation.ts';
import type { Finding } from '../../../src/engine/finding.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';

const input = z.strictObject({});
const finding = (severity: Finding['severity']): Finding => ({
  code: 'comparison-differs',
  severity,
  side: 'target',
  message: 'one row is missing',
  remedy: 'Find it.',
});

/** Two parts: one that sets what is told, and one that looks at it. */
function bundle(found: () => readonly Finding[]) {
  let set = 0;
  const calls: string[] = [];
  const sets = defineOperation({
    name: 'sets',
    title: 'It is set',
    scope: 'database',
    input,
    output: z.strictObject({ set: z.int() }),
    check: async () => (set > 0 ? holds({ set }) : lacks(['it'])),
    apply: async () => void calls.push(`set ${++set}`),
  });
  const looks = definePreflight({
    name: 'looks',
    title: 'Nothing differs',
    scope: 'database',
    input,
    output: z.strictObject({ rows: z.int() }),
    async check() {
      calls.push('look');
      return found().length > 0 ? lacks([...found()], { rows: 1 }) : holds({ rows: 1 });
    },
  });
  return {
    calls,
    both: inOneJob({ name: 'both', title: 'Both', queue: 'cutover', parts: [sets, looks] }),
    sets,
    looks,
  };
}
const context = () =>
  ({
    settings: Config.parse({ source: { host: 'a', user: 'u' }, target: { host: 'b', user: 'u' } }),
    signal: new AbortController().signal,
  }) as unknown as OperationContext<any>;

test('each part is checked, done and checked, and tells what came of it', async () => {
  const { both, calls, sets, looks } = bundle(() => []);
  expect([both, sets, looks].map(isChanging)).toEqual([true, true, false]);
  expect((await both.check(context())).holds).toBe(false);
  const result = await runOperation(both, context(), { findings: 'block' });
  expect(result).toEqual({
    changed: true,
    findings: [],
    output: {
      parts: [
        { operation: 'sets', changed: true, output: { set: 1 } },
        { operation: 'looks', changed: false, output: { rows: 1 } },
      ],
    },
  });
  expect(both.output.parse(result.output)).toEqual(result.output);
  expect((await runOperation(both, context(), { findings: 'block' })).changed).toBe(false);
  expect(await both.check(context())).toMatchObject({ holds: true });
  expect(calls).toEqual(['set 1', 'look', 'look', 'look']);
});

test('what one of them finds ends the job under its policy, and is told before that', async () => {
  const { both } = bundle(() => [finding('block'), finding('warning')]);
  const told: (readonly Finding[])[] = [];
  const onFindings = async (findings: readonly Finding[]) => void told.push([...findings]);
  await expect(runOperation(both, context(), { findings: 'block' }, { onFindings })).rejects.toMatchObject({
    name: 'BlockedByFindings',
    message: 'one row is missing',
    hint: 'Find it.',
  });
  expect(told.at(-1)).toHaveLength(2);
  expect((await runOperation(both, context(), {})).findings).toHaveLength(2);
});
