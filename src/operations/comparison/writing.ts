import type { OperationContext } from '../../engine/operation.ts';
import { WritingProbe, writingProbe } from '../../postgres/catalog/comparison.ts';
import type { Writing } from '../../postgres/catalog/comparison.ts';
import { majorOf, offers } from '../../postgres/versions.ts';

/** How the rows of both sides become numbers that are equal for equal rows. */
export async function commonWriting({ source, target }: OperationContext): Promise<Writing> {
  const [one, other] = await Promise.all([
    source.one(WritingProbe, writingProbe()),
    target.one(WritingProbe, writingProbe()),
  ]);
  const recoded = one.encoding !== other.encoding;
  return {
    checksum: !recoded && one.hash !== null && one.hash === other.hash ? 'hash' : 'md5',
    recoded,
    floatBits: ![one, other].every(({ version }) => offers(majorOf(version), 'shortestFloats')),
  };
}

/** Only rows are counted. */
export const counting = (writing: Writing): Writing => ({ ...writing, checksum: 'none' });
