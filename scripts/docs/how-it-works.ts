/** The parts of docs/how-it-works.md that come from the program: one line under the heading of each operation. */
import type { AnyOperation } from '../../src/engine/operation.ts';
import { operations } from '../../src/operations/index.ts';

const HEADING = /^(### `([\w-]+)`\n\n)(?:\*\*.*\*\*.*\n\n)?/gm;

/**
 * @throws Error when the page lacks an operation, or explains one that is not there.
 */
export function withOperations(page: string): string {
  const explained = [...page.matchAll(HEADING)].map(([, , name = '']) => name);
  const lacking = [...operations.keys()].filter((name) => !explained.includes(name));
  const unknown = explained.filter((name) => !operations.has(name));
  if (lacking.length > 0 || unknown.length > 0) {
    throw new Error(
      `docs/how-it-works.md explains each operation under a heading ### \`name\`. Lacking: ${lacking.join(', ') || 'none'}. Not there: ${unknown.join(', ') || 'none'}.`,
    );
  }
  return page.replaceAll(
    HEADING,
    (_, heading: string, name: string) => `${heading}${factsOf(operations.get(name)!)}\n\n`,
  );
}

const factsOf = ({ title, scope, queue, apply, undo }: AnyOperation): string =>
  `**${title}.** ${[
    scope === 'cluster' ? 'Once' : 'Each database',
    `queue \`${queue ?? 'operation'}\``,
    apply ? 'changes something' : 'only looks',
    undo ? 'can be taken back' : 'nothing to take back',
  ].join(' · ')}`;
