/** Numbers and times as a person reads them; the same words as the command line's. */

/** @param {number} value */
export const integer = (value) => Math.round(value).toLocaleString('en-US');

/** @param {number} count @param {string} one */
export const plural = (count, one, many = `${one}s`) => `${integer(count)} ${count === 1 ? one : many}`;

/** Bytes in powers of 1024. @param {number} value */
export function bytes(value) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${amount.toFixed(unit > 0 && amount < 10 ? 1 : 0)} ${units[unit]}`;
}

/** `840 ms`, `12 s`, `3m 05s`, `2h 10m`, `3d 4h`. @param {number} milliseconds */
export function duration(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return seconds(ms);
}

/** The same in whole seconds, for clocks that run. @param {number} milliseconds */
export function seconds(milliseconds) {
  const whole = Math.max(0, Math.round(milliseconds / 1_000));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}m ${String(whole % 60).padStart(2, '0')}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h ${String(minutes % 60).padStart(2, '0')}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** @param {number} at milliseconds since 1970 */
export const moment = (at) => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

/** @param {number} done @param {number} total */
export const percent = (done, total) =>
  total <= 0 || done >= total ? '100%' : `${Math.min(99, Math.max(0, Math.floor((done / total) * 100)))}%`;

/** What a step does right now, in a line. @param {Progress} progress @param {number} elapsed milliseconds */
export function progressText({ done, total, unit, rows, note }, elapsed) {
  const amount =
    unit === 'bytes'
      ? `${percent(done, total)}, ${bytes(done)} of ${bytes(total)}`
      : unit === 'milliseconds'
        ? `${seconds(done)} of at most ${seconds(total)}`
        : `${integer(done)} of ${integer(total)} ${unit ?? ''}`.trimEnd();
  const left =
    unit === 'bytes' && done > 0 && done < total && elapsed >= 2_000 ? ((total - done) / done) * elapsed : undefined;
  return [
    amount,
    ...(left === undefined ? [] : [`${seconds(left)} left`]),
    ...(rows === undefined ? [] : [`${integer(rows)} rows`]),
    ...(note ? [note] : []),
  ].join(', ');
}

/** @typedef {{ done: number, total: number, unit?: string, rows?: number, note?: string, tables?: TableProgress[] }} Progress */
/** @typedef {{ name: string, done: number, total: number }} TableProgress */
