import type { WatchRecord } from '../../queue/watch-record.ts';
import { renderFindings } from './findings.ts';
import type { Style } from './style.ts';
import { duration } from './text.ts';

/** What the watchdog has seen last; nothing where that is nothing. */
export function renderWatch(
  { at, findings, pausesCopying }: WatchRecord,
  now: number,
  style: Style,
  width: number,
): string | undefined {
  if (findings.length === 0 && !pausesCopying) return undefined;
  return [
    style.bold(`the watchdog, ${duration(Math.max(0, now - at))} ago:`),
    ...(pausesCopying ? [style.yellow('! no further copy begins as long as this lasts')] : []),
    ...(findings.length > 0 ? [renderFindings(findings, style, width)] : []),
  ].join('\n');
}
