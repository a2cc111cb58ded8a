import * as z from 'zod';
import { DeadlineExceeded } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';

/** What the ledger of the cluster that takes writes again keeps of a cutover that was broken off. */
export const GivenBack = z.object({
  run: z.string(),
  /** As the end of a sentence: "the deadline of its write outage has passed". */
  why: z.string(),
});
export type GivenBack = z.output<typeof GivenBack>;

/** As long as it is there, its run does not fence the database by itself: who was told that it takes writes can rely on that. */
export const givenBackKey = (database: string) => ({ kind: 'given-back', database });

type GivenBackContext = Pick<OperationContext, 'source' | 'sourceCluster' | 'sourceLedger' | 'run'>;

/** @throws DeadlineExceeded where this run's cutover of the database was broken off, and nobody has asked for it again */
export async function refuseGivenBack({ source, sourceLedger, run }: GivenBackContext): Promise<void> {
  const entry = await sourceLedger.find(givenBackKey(source.name));
  if (!entry) return;
  const note = GivenBack.parse(entry.before);
  if (note.run === run.id) throw givenBackError(source.side, source.name, note);
  await sourceLedger.forget(givenBackKey(source.name));
}

export const givenBackError = (side: string, database: string, { run, why }: GivenBack): DeadlineExceeded =>
  new DeadlineExceeded(
    `${side}, database "${database}": ${why}. It was given back: it takes writes again, and goes on replicating`,
    {
      hint: `Once the cause is mended: pgconvoy retry ${run}, which fences it anew and does everything behind the fence again.`,
    },
  );
