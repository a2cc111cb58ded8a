import { expect, test } from 'vitest';
import type { Finding } from '../../../src/engine/finding.ts';
import { checkClusters } from '../../../src/operations/index.ts';
import { TestPair } from '../../helpers/pair.ts';

test('what the way back needs is checked in the other direction, in the words of the configuration', async () => {
  await using pair = await TestPair.open({
    source: 10,
    settings: { cutover: { reverse: true }, target: { fromSource: { port: 1 } } },
  });
  await pair.database('one');
  const context = pair.context(undefined);

  const verdict = await checkClusters.check(context);

  const points = verdict.output?.points.filter(({ id }) => id.startsWith('way-back-')) ?? [];
  expect(points.map(({ side, title }) => `${side}: ${title}`)).toEqual(
    expect.arrayContaining([
      'target: the way back: wal_level',
      'target: the way back: pg_hba.conf',
      'source: the way back: the way to the target',
      'target: the way back: max_wal_senders',
      'source: the way back: max_logical_replication_workers',
    ]),
  );
  expect(verdict.output?.points.map(({ title }) => title)).toContain('the way back: open transactions');
  const found: readonly Finding[] = verdict.holds ? [] : verdict.missing;
  expect(found).toContainEqual(expect.objectContaining({ code: 'way-back-truncate', severity: 'warning' }));
  expect(found.filter(({ message }) => message.startsWith('For the way back'))).toMatchObject([
    {
      code: 'source-unreachable',
      severity: 'block',
      side: 'source',
      message: expect.stringContaining('The source cannot connect to the target at'),
      remedy: expect.stringMatching(/Set target\.fromSource\.host and port[^]*cutover\.reverse: false/),
    },
  ]);
});
