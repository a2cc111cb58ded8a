import type { CheckFinding } from './findings.ts';

/** Text that speaks of the way forth, of the way back: the same sentence with the sides as the configuration has them. */
export function inWords(text: string): string {
  return text.replaceAll(/\b(source\.fromTarget|source|target)\b/g, (word) =>
    word === 'source.fromTarget' ? 'target.fromSource' : word === 'source' ? 'target' : 'source',
  );
}

/** What was found for the way back can be done without. */
export const ofWayBack = (finding: CheckFinding): CheckFinding => ({
  ...finding,
  message: `For the way back: ${finding.message}`,
  remedy: `${finding.remedy}\nOr do without a way back: cutover.reverse: false in the configuration.`,
});
