import type { StepView } from './types.ts';

const OPENS = 'open-target';

export const opensDatabases = ({ operation }: Pick<StepView, 'operation'>): boolean => operation === OPENS;

/**
 * Whether the step's database was opened by its run. Where databases open together, or a worker was killed in between, the step itself has
 * found it open.
 */
export const hasOpened = (step: Pick<StepView, 'operation' | 'changed' | 'output'>): boolean =>
  opensDatabases(step) && (step.changed === true || (step.output as { readonly ours?: unknown } | null)?.ours === true);
