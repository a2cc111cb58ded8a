import { createLogger } from '../../src/log.ts';
import type { GivenBackAsNoted } from '../../src/postgres/catalog/agreement.ts';
import type { Clusters } from '../../src/runtime/context.ts';
import { lookAfter } from '../../src/runtime/keeper.ts';

/** One look of a keeper at both clusters. Whether an outage goes on that may still become late. */
export async function keeperLooks(
  clusters: Clusters,
  onGivenBack: (databases: readonly GivenBackAsNoted[]) => void = () => {},
): Promise<boolean> {
  const { signal } = new AbortController();
  const looks = await Promise.all(
    (['source', 'target'] as const).map((side) => lookAfter(clusters, side, createLogger('silent'), signal)),
  );
  await Promise.all(looks.map(({ afterwards }) => afterwards));
  onGivenBack(looks.flatMap(({ givenBack }) => givenBack));
  return looks.some(({ goesOn }) => goesOn);
}
