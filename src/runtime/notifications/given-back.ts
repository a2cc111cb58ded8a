import { createHash } from 'node:crypto';
import type { GivenBackAsNoted } from '../../postgres/catalog/agreement.ts';
import type { Tell } from '../../queue/notices.ts';

/** Tells of databases that were given back: once each, although each worker sees them in each second. */
export function givenBackTeller(tell: Tell): (databases: readonly GivenBackAsNoted[]) => void {
  const told = new Set<string>();
  return (databases) => {
    for (const { database, run, why, at } of databases) {
      // Without a time it was given back just now, and its note is seen at the next look.
      const id = `${run}.given-back.${createHash('sha256').update(`${database} ${at}`).digest('hex').slice(0, 16)}`;
      if (at === undefined || told.has(id)) continue;
      told.add(id);
      void tell({
        id,
        event: 'given-back',
        run,
        database,
        what: `database "${database}" was given back: it takes writes where it did before, and goes on replicating`,
        why,
        next: `Repair the cause; then pgconvoy retry ${run} fences it anew.`,
        at: Date.now(),
      });
    }
  };
}
