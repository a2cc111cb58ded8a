import { expect, test } from 'vitest';
import { failureOf, renderFailure } from '../../../src/cli/render/error.ts';
import { coloured, plain, styleFor } from '../../../src/cli/render/style.ts';
import { ConfigError, UnreachableError } from '../../../src/errors.ts';

test('an error of ours: message, then what to do, and its exit code', () => {
  const failure = failureOf(
    new ConfigError('pgconvoy.yaml:3: unknown key "sorce"', {
      hint: 'Did you mean "source"?\nSee config.example.yaml.',
    }),
  );
  expect(renderFailure(failure, plain, true)).toBe(
    'error: pgconvoy.yaml:3: unknown key "sorce"\n  → Did you mean "source"?\n    See config.example.yaml.',
  );
  expect(failure.code).toBe(2);
  expect(failureOf(new UnreachableError('gone', { hint: 'start it' })).code).toBe(4);
});

test('anything else is said to be unexpected, with a stack only for debugging', () => {
  const failure = failureOf(new TypeError('x is not a function'));
  expect(renderFailure(failure, plain, false)).toMatch(/^error: unexpected: x is not a function\n {2}→ /);
  expect(renderFailure(failure, plain, false)).not.toContain('error.test.ts');
  expect(renderFailure(failure, plain, true)).toContain('error.test.ts');
  expect(failureOf('thrown text')).toMatchObject({ message: 'unexpected: thrown text', code: 1 });
});

test.each([
  [{ wanted: true, isTTY: true, env: {} }, coloured],
  [{ wanted: false, isTTY: true, env: {} }, plain],
  [{ wanted: true, isTTY: false, env: {} }, plain],
  [{ wanted: true, isTTY: true, env: { NO_COLOR: '1' } }, plain],
  [{ wanted: true, isTTY: true, env: { NO_COLOR: '' } }, coloured],
  [{ wanted: true, isTTY: true, env: { TERM: 'dumb' } }, plain],
])('colours for %j', (question, style) => {
  expect(styleFor(question)).toBe(style);
});

test('what failed is told, not what then failed while everything was being closed', () => {
  const suppressed = new UnreachableError('the queue is gone', { hint: 'start it' });
  const error = Object.assign(new Error('An error was suppressed during disposal'), {
    name: 'SuppressedError',
    suppressed,
  });
  expect(failureOf(error)).toEqual({ message: 'the queue is gone', hint: 'start it', code: 4 });
});
