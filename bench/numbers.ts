/** Numbers of a measurement, and what is told of them. */

/** How long nobody could write, per database. */
export interface Outages {
  /** The whole cutover of all databases, as the person waits for it. */
  readonly totalSeconds: number;
  readonly milliseconds: readonly number[];
}

export const worst = (numbers: readonly number[]): number => Math.max(...numbers);

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const rounded = (number: number, digits = 2): number => Number(number.toFixed(digits));
