import { withoutSecrets } from '../errors.ts';

/** For a log: stack trace and all. */
export function redactedError(error: unknown): {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
} {
  const thrown = error instanceof Error ? error : new Error(String(error));
  return { type: thrown.name, message: withoutSecrets(thrown.message), stack: withoutSecrets(thrown.stack ?? '') };
}
