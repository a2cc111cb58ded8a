import { expect, test } from 'vitest';
import { renderFindings } from '../../../src/cli/render/findings.ts';
import { plain } from '../../../src/cli/render/style.ts';
import type { Finding } from '../../../src/engine/finding.ts';

const findings: readonly Finding[] = [
  {
    code: 'wal-level',
    severity: 'block',
    side: 'source',
    object: 'wal_level',
    message: 'is "replica", and logical replication needs "logical"',
    remedy: "alter system set wal_level = 'logical';\nthen restart the source",
  },
  {
    code: 'large-objects',
    severity: 'block',
    side: 'source',
    database: 'shop',
    message: '12 large objects are not carried by logical replication',
    remedy: 'Move them into bytea columns, or accept: [large-objects]',
  },
  {
    code: 'full-identity',
    severity: 'warning',
    side: 'source',
    database: 'My "odd" DB',
    object: 'public."Order Items"',
    message:
      'has no key: every update and delete makes the target read the whole table, which is slow for a table of 12 GB',
    remedy: 'alter table public."Order Items" add primary key ("select");',
  },
  {
    code: 'workers',
    severity: 'block',
    side: 'target',
    object: 'max_logical_replication_workers',
    message: 'is 4, and 12 databases need 16',
    remedy: 'alter system set max_logical_replication_workers = 16; then restart the target',
  },
  {
    code: 'full-identity',
    severity: 'warning',
    side: 'source',
    database: 'animals',
    object: 'public.fish',
    message: 'has no key',
    remedy: 'none needed',
  },
];

test('what blocks first; the source before the target, the cluster before its databases; remedies as they are', () => {
  expect(renderFindings(findings, plain, 80)).toMatchSnapshot();
});

test('the order in which findings come does not matter to their groups', () => {
  const headings = (text: string) => text.split('\n').filter((line) => /^ {0,2}\S/.test(line));
  expect(headings(renderFindings(findings.toReversed(), plain, 80))).toEqual(
    headings(renderFindings(findings, plain, 80)),
  );
});

test('nothing found is said', () => {
  expect(renderFindings([], plain, 80)).toBe('Nothing was found that stands in the way.');
});

test('one finding is told in the singular', () => {
  expect(renderFindings(findings.slice(0, 1), plain, 80)).toMatch(/^1 finding that blocks\n/);
});
