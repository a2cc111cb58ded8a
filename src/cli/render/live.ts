import type { RunView } from '../../queue/types.ts';
import { eventsBetween, progressLine } from './events.ts';
import { renderRun } from './run.ts';
import type { Terminal } from './terminal.ts';

/** A run while it is followed. */
export interface LiveView {
  update(view: RunView, warnings: readonly string[]): void;
  /** Takes the picture off the screen (or leaves the lines there), so that something else can be said. */
  clear(): void;
}

/** Redraws on a terminal; elsewhere writes one line per event, and how far it is every ten seconds at most. */
export async function openLiveView(terminal: Terminal): Promise<LiveView> {
  return terminal.canRedraw ? redrawing(terminal) : lineByLine(terminal);
}

async function redrawing(terminal: Terminal): Promise<LiveView> {
  // It makes tables of all characters when it is loaded, which takes longer than most commands have to work.
  const { createLogUpdate } = await import('log-update');
  const draw = createLogUpdate(terminal.stderr);
  return {
    update(view, warnings) {
      const { columns = 80, rows = 24 } = terminal.stderr;
      draw(renderRun(view, { style: terminal.noteStyle, now: Date.now(), width: columns, height: rows - 1, warnings }));
    },
    clear() {
      draw.clear();
      draw.done();
    },
  };
}

const PROGRESS_EVERY_MS = 10_000;

function lineByLine(terminal: Terminal): LiveView {
  let before: RunView | undefined;
  let said = Date.now();
  const warned = new Set<string>();
  return {
    update(view, warnings) {
      const lines = eventsBetween(before, view);
      before = view;
      for (const warning of warnings) {
        if (!warned.has(warning)) lines.push(`! ${warning}`);
        warned.add(warning);
      }
      const now = Date.now();
      if (lines.length === 0 && view.state === 'running' && now - said >= PROGRESS_EVERY_MS)
        lines.push(progressLine(view, now));
      if (lines.length === 0) return;
      said = now;
      terminal.note(lines.join('\n'));
    },
    clear() {},
  };
}
