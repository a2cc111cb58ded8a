import { ConfigError } from '../errors.ts';

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** `pgconvoy.yaml:4:3`, `--source`, or the name of an environment variable. */
  readonly place: string;
  /** What was found and what was expected. Never the value of a secret. */
  readonly message: string;
  readonly remedy: string;
}

/** All problems in one error, in the order of the file. */
export function configError(problems: readonly Problem[]): ConfigError {
  const unique = [...new Map(problems.map((problem) => [`${problem.place}\n${problem.message}`, problem])).values()];
  unique.sort((a, b) => a.place.localeCompare(b.place, 'en', { numeric: true }));
  const [first] = unique;
  if (first && unique.length === 1) return new ConfigError(`${first.place}: ${first.message}`, { hint: first.remedy });
  const lines = unique.map(({ place, message, remedy }) => `  ${place}: ${message}\n    → ${remedy}`);
  return new ConfigError(`the configuration has ${unique.length} problems:\n${lines.join('\n')}`, {
    hint: 'Correct them all, then run the command again. config.example.yaml explains every key.',
  });
}

/** The known word that was probably meant, or undefined where none is near. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[-_ ]/g, '');
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(plain(word), plain(candidate)) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.candidate;
}

/** Levenshtein, with a swap of neighbours counted as one edit. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= b.length; j++) rows[0]![j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      rows[i]![j] = best;
    }
  }
  return rows[a.length]![b.length]!;
}
