import { expect } from 'vitest';
import { slotName } from '../../src/replication/names.ts';
import { lit } from '../../src/postgres/sql.ts';
import { onServer } from './pair.ts';
import type { ClusterInfo } from './servers.ts';
import { eventually } from './wait.ts';

/** Until whoever reads the slots of these databases has everything that is written there. */
export async function everythingTravelled(
  from: ClusterInfo,
  databases: readonly { readonly name: string }[],
): Promise<void> {
  const [mark] = await onServer(from, 'postgres', `select pg_logical_emit_message(true, 'test', '')::text as lsn`);
  const names = databases.map(({ name }) => lit(slotName(name)).text).join(', ');
  await eventually(
    async () => {
      const slots = await onServer(
        from,
        'postgres',
        `select confirmed_flush_lsn >= ${lit(String(mark!['lsn'])).text} as done from pg_replication_slots where slot_name in (${names})`,
      );
      expect(slots).toEqual(databases.map(() => ({ done: true })));
    },
    { timeoutMs: 30_000 },
  );
}
