import { expect, test } from 'vitest';
import { renderPoints } from '../../../src/cli/render/points.ts';
import { plain } from '../../../src/cli/render/style.ts';
import type { CheckedPoint } from '../../../src/cli/run-facts.ts';
import type { Finding } from '../../../src/engine/finding.ts';
import type { Point } from '../../../src/engine/point.ts';

function point(more: Partial<Point> & Pick<Point, 'id' | 'side'>, findings: readonly Finding[] = []): CheckedPoint {
  const state = findings.length === 0 ? 'OK' : findings.some(({ severity }) => severity === 'block') ? 'KO' : 'note';
  return {
    point: { title: more.id, ok: findings.length === 0, findings: findings.map(({ code }) => code), ...more },
    findings,
    state,
  };
}

const finding = (code: string, severity: Finding['severity'] = 'block'): Finding => ({
  code,
  severity,
  side: 'source',
  message: `A sentence about ${code} that is long enough to be broken where the terminal of a person ends.`,
  remedy: `Add:\nhost all all 10.0.0.7/32 md5\nto the file.`,
});

test('each point is a line; findings stand below theirs with the very lines to add; databases are short where all holds', () => {
  const points = [
    point({ id: 'max_wal_senders', side: 'target', capacity: { limit: 1_210, used: 10, free: 1_200, needed: 80 } }),
    point({ id: 'temporary folder', side: 'here', detail: '/tmp' }),
    point({ id: 'wal_level', side: 'source', detail: 'logical' }),
    point({ id: 'pg_hba.conf', side: 'source' }, [finding('pg-hba')]),
    point({ id: 'roles', side: 'target' }, [finding('role-differs', 'warning')]),
    point({ id: 'locale', side: 'target', database: 'shop' }),
    point({ id: 'code', side: 'source', database: 'shop' }),
    point({ id: 'replica identities', side: 'source', database: 'My "odd" DB' }, [finding('no-replica-identity')]),
    point({ id: 'locale', side: 'target', database: 'My "odd" DB' }),
  ];
  expect(renderPoints(points, plain, 72)).toMatchSnapshot();
});

test('where nothing is found it is said', () => {
  expect(renderPoints([point({ id: 'wal_level', side: 'source' })], plain, 80)).toBe(
    'Source\n  OK   wal_level\n\nNothing was found that stands in the way.',
  );
});

test('of a point with thousands of findings the first are told, the rest is counted', () => {
  const many = Array.from({ length: 1_050 }, () => finding('no-replica-identity'));
  const text = renderPoints([point({ id: 'replica identities', side: 'source', database: 'huge' }, many)], plain, 200);
  expect(text).toContain('and 1,000 more: --json tells all');
  expect(text).toContain('1050 block');
});
