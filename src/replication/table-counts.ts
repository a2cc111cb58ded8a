import type { TableState } from './engine.ts';

export interface TableCounts {
  readonly waiting: number;
  readonly copying: number;
  readonly catchingUp: number;
  readonly streaming: number;
}

/** How many tables are in which state. */
export function countTables(tables: readonly TableState[]): TableCounts {
  const count = (state: TableState['state']) => tables.filter((table) => table.state === state).length;
  return {
    waiting: count('waiting'),
    copying: count('copying'),
    catchingUp: count('catching-up'),
    streaming: count('streaming'),
  };
}
