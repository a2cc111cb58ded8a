import { Moment } from '../../postgres/catalog/large-objects.ts';
import type { OperationContext } from '../../engine/operation.ts';

export const largeObjectsKey = (database: string) => ({ kind: 'large-objects', database });

/**
 * When the large objects of the target were those of the source, or undefined. A source that has such a note itself was the target
 * once, and what it noted then holds no more.
 */
export async function copiedAt({
  source,
  targetLedger,
}: Pick<OperationContext, 'source' | 'targetLedger'>): Promise<Moment | undefined> {
  const entry = await targetLedger.find(largeObjectsKey(source.name));
  return entry && Moment.parse(entry.before);
}

export async function noteCopied(
  { source, sourceLedger, targetLedger }: Pick<OperationContext, 'source' | 'sourceLedger' | 'targetLedger'>,
  moment: Moment,
): Promise<void> {
  await targetLedger.replace(largeObjectsKey(source.name), moment);
  await sourceLedger.forget(largeObjectsKey(source.name));
}
