import type { DdlOutcome, Done, ResyncOutcome } from '../../runtime/directly.ts';
import { failureOf } from './error.ts';
import { renderFindings } from './findings.ts';
import { remedyLines } from './problems.ts';
import type { Style } from './style.ts';
import { visible, visibleLines, wrap } from './text.ts';

type Table = DdlOutcome['copied'][number];

/** What came of statements, database by database. */
export const renderDdl = (results: readonly Done<DdlOutcome>[], style: Style, width: number): string =>
  results
    .map((done) =>
      done.ok
        ? [
            style.green(
              `✓ ${visible(done.database)}: on both sides${done.outcome.resumed ? '; the rest of what was broken off before' : ''}`,
            ),
            ...copiedLine(done.outcome.copied, width),
          ].join('\n')
        : failed(done.database, done.error, style, width),
    )
    .join('\n');

/** What came of bringing both sides together, and what is left to do. */
export const renderResync = (results: readonly Done<ResyncOutcome>[], style: Style, width: number): string =>
  results
    .map((done) => {
      if (!done.ok) return failed(done.database, done.error, style, width);
      const { copied, findings } = done.outcome;
      const head =
        findings.length === 0
          ? style.green(`✓ ${visible(done.database)}: both sides correspond`)
          : `${visible(done.database)}:`;
      return [
        head,
        ...copiedLine(copied, width),
        ...(findings.length === 0 ? [] : [renderFindings(findings, style, width)]),
      ].join('\n');
    })
    .join('\n');

function failed(database: string, error: unknown, style: Style, width: number): string {
  const { message, hint } = failureOf(error);
  const text = wrap(visibleLines(message), width - 4, '    ').trimStart();
  return [style.red(`✗ ${visible(database)}: ${text}`), ...remedyLines(hint, '    ', style)].join('\n');
}

function copiedLine(tables: readonly Table[], width: number): string[] {
  if (tables.length === 0) return [];
  const names = tables.map(({ schema, name }) => visible(`${schema}.${name}`)).join(', ');
  return [wrap(`copied: ${names}`, width - 4, '    ')];
}
