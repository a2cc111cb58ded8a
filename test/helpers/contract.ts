import { expect } from 'vitest';
import type { AnyOperation } from '../../src/engine/operation.ts';
import { runOperation } from '../../src/engine/run-operation.ts';
import type { OperationResult } from '../../src/engine/run-operation.ts';
import type { ContextOptions, TestPair } from './pair.ts';

/**
 * The contract of every operation: missing → apply → holds → again changes nothing → undo → missing → undo again takes
 * nothing back → apply → holds. Returns what the first application observed. Ends with the state applied.
 */
export async function proveContract(
  pair: TestPair,
  operation: AnyOperation,
  database: string | undefined,
  options: ContextOptions = {},
): Promise<OperationResult> {
  // A new context each time: nothing may be carried over from one attempt to the next in memory.
  const context = () => pair.context(database, { ...options, input: operation.input.parse(options.input ?? {}) });

  expect((await operation.check(context())).holds, `${operation.name}: missing before`).toBe(false);
  const first = await runOperation(operation, context());
  expect(first.changed, `${operation.name}: the first time changes something`).toBe(true);
  expect((await operation.check(context())).holds, `${operation.name}: holds after`).toBe(true);

  const second = await runOperation(operation, context());
  expect(second.changed, `${operation.name}: the second time changes nothing`).toBe(false);
  expect(second.output, `${operation.name}: and observes the same`).toEqual(first.output);

  if (operation.undo) {
    expect(await operation.undo(context()), `${operation.name}: undo takes it back`).toBe(true);
    expect((await operation.check(context())).holds, `${operation.name}: missing after undo`).toBe(false);
    expect(await operation.undo(context()), `${operation.name}: nothing left to undo`).toBe(false);
    expect((await runOperation(operation, context())).changed, `${operation.name}: can be done again`).toBe(true);
  }
  return first;
}

/**
 * Kills the operation in the middle, at several points: after `delays` milliseconds its signal aborts, as when a worker dies.
 * Then it runs to its end and must hold.
 */
export async function proveKilledAndRunAgain(
  pair: TestPair,
  operation: AnyOperation,
  database: string | undefined,
  delays: readonly number[],
  options: ContextOptions = {},
): Promise<OperationResult> {
  const input = operation.input.parse(options.input ?? {});
  for (const delay of delays) {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new Error('killed by the test')), delay);
    await runOperation(operation, pair.context(database, { ...options, input, signal: controller.signal })).catch(
      () => {},
    );
    clearTimeout(timer);
  }
  const result = await runOperation(operation, pair.context(database, { ...options, input }));
  expect((await operation.check(pair.context(database, { ...options, input }))).holds).toBe(true);
  return result;
}
