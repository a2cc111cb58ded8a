import { BlockedByFindings, NotConverged } from '../errors.ts';
import { acceptFindings } from './finding.ts';
import type { Finding } from './finding.ts';
import type { PartsOutput } from './in-one-job.ts';
import type { AnyOperation, OperationContext } from './operation.ts';
import type { StepPolicy } from './workflow.ts';

export interface OperationResult {
  readonly changed: boolean;
  /** From what to what, where the operation tells it. */
  readonly changes?: unknown;
  /** What the last check observed. */
  readonly output: unknown;
  readonly findings: readonly Finding[];
}

export interface RunHooks {
  /** Held around check, apply and check: nobody else changes this database meanwhile. */
  readonly locked?: <T>(body: () => Promise<T>) => Promise<T>;
  /** Called with the findings before a blocking one ends the step. */
  readonly onFindings?: (findings: readonly Finding[]) => Promise<void>;
}

/**
 * check → apply → check: the output is what the second check observed, never what apply believes it did.
 * @throws NotConverged when something is still missing after apply; BlockedByFindings when a preflight check finds what
 * blocks and the step's policy says so.
 */
export async function runOperation(
  operation: AnyOperation,
  context: OperationContext,
  policy: StepPolicy = {},
  hooks: RunHooks = {},
): Promise<OperationResult> {
  if (policy.direction === 'undo') return takeBack(operation, context, hooks);
  if (operation.parts) return runParts(operation.parts, context, policy, hooks);
  if (!operation.apply) return preflight(operation, context, policy, hooks);
  // Looked at behind the lock: whoever held it before us may have done the work.
  return (hooks.locked ?? ((body) => body()))(async () => {
    const before = await operation.check(context);
    if (before.holds) return { changed: false, output: operation.output.parse(before.output), findings: [] };
    context.signal.throwIfAborted();
    await operation.apply?.(context, before.missing);
    const after = await operation.check(context);
    const changes = operation.changes?.(before.missing, context.run);
    const told = changes === undefined ? {} : { changes };
    if (!after.holds && policy.moving) return { changed: true, ...told, output: after.output ?? null, findings: [] };
    if (!after.holds) {
      throw new NotConverged(
        `${operation.name}, database "${context.source.name}": ${after.missing.length} of ${before.missing.length} are still missing afterwards: ${describe(after.missing)}`,
        {
          hint: "Somebody else is probably changing the same objects. Retry the step; if it repeats, see the job's log.",
        },
      );
    }
    const output: unknown = operation.output.parse(after.output);
    return { changed: true, ...told, output, findings: [] };
  });
}

async function runParts(
  parts: readonly AnyOperation[],
  context: OperationContext,
  policy: StepPolicy,
  { locked = (body) => body(), onFindings }: RunHooks,
): Promise<OperationResult> {
  const results: (OperationResult & { readonly operation: string })[] = [];
  const all: Finding[] = [];
  const tell = async (findings: readonly Finding[]) => {
    all.push(...findings);
    await onFindings?.(all);
  };
  await locked(async () => {
    for (const part of parts) {
      context.signal.throwIfAborted();
      results.push({ operation: part.name, ...(await runOperation(part, context, policy, { onFindings: tell })) });
    }
  });
  const output: PartsOutput = { parts: results.map(({ findings: _findings, ...result }) => result) };
  return { changed: results.some(({ changed }) => changed), output, findings: all };
}

async function takeBack(operation: AnyOperation, context: OperationContext, hooks: RunHooks): Promise<OperationResult> {
  const changed = await (hooks.locked ?? ((body) => body()))(async () => (await operation.undo?.(context)) ?? false);
  return { changed, output: null, findings: [] };
}

async function preflight(
  operation: AnyOperation,
  context: OperationContext,
  policy: StepPolicy,
  hooks: RunHooks,
): Promise<OperationResult> {
  const look = () => operation.check(context);
  const verdict = await (operation.exclusive?.(context) && hooks.locked ? hooks.locked(look) : look());
  const found: readonly Finding[] = verdict.holds || policy.moving ? [] : verdict.missing;
  const findings = acceptFindings(found, context.settings.accept);
  await hooks.onFindings?.(findings);
  const blocking = findings.filter((finding) => finding.severity === 'block');
  const [first] = blocking;
  if (first && policy.findings === 'block') {
    const more = blocking.length > 1 ? ` (and ${blocking.length - 1} more)` : '';
    throw new BlockedByFindings(`${first.message}${more}`, { hint: first.remedy });
  }
  return { changed: false, output: 'output' in verdict ? operation.output.parse(verdict.output) : null, findings };
}

const describe = (missing: readonly unknown[]): string =>
  missing
    .slice(0, 3)
    .map((item) => JSON.stringify(item))
    .join(', ') + (missing.length > 3 ? ', …' : '');
