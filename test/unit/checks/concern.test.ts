import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tryFolder } from '../../../src/operations/checks/clusters/temporary-folder.ts';
import { isWanted } from '../../../src/operations/checks/concern.ts';
import type { Concern } from '../../../src/operations/checks/concern.ts';

const concern = (side: Concern['side'], asks?: Concern['asks']): Concern => ({
  name: 'x',
  side,
  ...(asks === undefined ? {} : { asks }),
  look: async () => [],
});
const here = concern('here');
const source = concern('source');
const target = concern('target');
const both = concern('target', ['source', 'target']);
const sourceWithTarget = concern('source', ['source', 'target']);
const targetItself = concern('target', []);

test.each<[string, Record<string, boolean>, readonly Concern[]]>([
  ['everything', {}, [here, source, target, both, sourceWithTarget, targetItself]],
  ['the source alone never asks the target', { sourceOnly: true }, [here, source]],
  ['the target alone', { targetOnly: true }, [here, target, both, targetItself]],
  ['with the target away', { targetAway: true }, [here, source, targetItself]],
  ['with the source away', { sourceAway: true }, [here, target, targetItself]],
  ['the target alone, with the source away', { targetOnly: true, sourceAway: true }, [here, target, targetItself]],
])('%s', (_, options, wanted) => {
  const all = [here, source, target, both, sourceWithTarget, targetItself];
  expect(all.filter((each) => isWanted(each, options))).toEqual(wanted);
});

test('the folder for temporary files: tried, and nothing is left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgconvoy-test-'));
  expect(await tryFolder(folder)).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
  expect(await tryFolder(folder)).toMatchObject([
    {
      code: 'temporary-folder',
      severity: 'block',
      object: folder,
      message: expect.stringContaining('it does not exist'),
      remedy: expect.stringContaining('TMPDIR='),
    },
  ]);
});
