import type { Hook } from './hooks.ts';
import type { PgBouncer } from './pgbouncer.ts';

/** Who leads applications to the cluster that is open: commands of the operator, and the PgBouncers we switch ourselves. */
export interface Traffic {
  readonly hooks: readonly Hook[];
  readonly pgbouncers: readonly PgBouncer[];
}

export const NO_TRAFFIC: Traffic = { hooks: [], pgbouncers: [] };
