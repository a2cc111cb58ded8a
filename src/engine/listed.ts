/** Entries of one kind that all jobs of a run may keep together: a run is read as a whole, often. */
const IN_A_RUN = 10_000;
const MOST = 300;
const LEAST = 20;

/**
 * The entries that a job may keep in its output: the first 300; fewer, down to 20, where many databases travel in one run. Whoever
 * shows them says how many there are in all.
 */
export function listed<T>(entries: readonly T[], { databases }: { readonly databases: readonly string[] }): T[] {
  const room = Math.floor(IN_A_RUN / Math.max(1, databases.length));
  return entries.slice(0, Math.min(MOST, Math.max(LEAST, room)));
}
