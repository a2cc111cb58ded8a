import type { LogLine, RunLine } from '../../queue/types.ts';
import type { Style } from './style.ts';
import { columns, duration, visible } from './text.ts';

/** Runs, newest first. */
export function renderRuns(runs: readonly RunLine[], style: Style, now: number): string {
  if (runs.length === 0) return 'No run is known to this queue.';
  const rows = runs.map((run) => [
    run.id,
    run.workflow,
    run.state,
    { right: String(run.databases) },
    `${duration(now - run.createdAt)} ago`,
    visible(run.by),
  ]);
  const [head, ...lines] = columns([['run', 'workflow', 'state', { right: 'databases' }, 'started', 'by'], ...rows]);
  return [style.bold(head!), ...lines].join('\n');
}

/** What the steps of a run have written, in order of time. */
export function renderLogs(lines: readonly LogLine[], style: Style): string {
  if (lines.length === 0) return 'Nothing has been logged.';
  return lines
    .map(({ at, step, database, text }) => {
      const place = `${new Date(at).toISOString()} ${database === undefined ? step : `${visible(database)} ${step}`}`;
      return text
        .split('\n')
        .map((line) => `${style.dim(place)}  ${visible(line)}`)
        .join('\n');
    })
    .join('\n');
}
