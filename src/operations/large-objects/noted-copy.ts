import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';

/** The target's note that it held what the source held at that moment (a number of a transaction of the source). */
const Copied = z.object({ moment: z.string() });

export const largeObjectsKey = (database: string) => ({ kind: 'large-objects', database });

/**
 * When the large objects of the target were those of the source, or undefined. A source that has such a note itself was the target
 * once, and what it noted then holds no more.
 */
export async function copiedAt({
  source,
  targetLedger,
}: Pick<OperationContext, 'source' | 'targetLedger'>): Promise<string | undefined> {
  const entry = await targetLedger.find(largeObjectsKey(source.name));
  return entry && Copied.parse(entry.before).moment;
}

export async function noteCopied(
  { source, sourceLedger, targetLedger }: Pick<OperationContext, 'source' | 'sourceLedger' | 'targetLedger'>,
  moment: string,
): Promise<void> {
  await targetLedger.replace(largeObjectsKey(source.name), { moment } satisfies z.output<typeof Copied>);
  await sourceLedger.forget(largeObjectsKey(source.name));
}
