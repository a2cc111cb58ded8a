import { expect, test } from 'vitest';
import { renderIdentities } from '../../../src/cli/render/identities.ts';
import { plain } from '../../../src/cli/render/style.ts';
import { costOf } from '../../../src/operations/tables/identity-cost.ts';
import type { IdentityChoice } from '../../../src/operations/tables/identity.ts';
import type { PlannedIdentity } from '../../../src/runtime/planned-identities.ts';

const MB = 1_048_576;

/** As a source of 11 would have it: there the last lock of a key column takes longer. */
function planned(
  database: string,
  name: string,
  bytes: number,
  choice: IdentityChoice,
  rest: { readonly rows?: number; readonly asked?: boolean } = {},
): PlannedIdentity {
  const { rows = 0, asked = false } = rest;
  const table = {
    oid: 16_384,
    schema: 'public',
    name,
    kind: 'r',
    persistence: 'p',
    isPartition: false,
    identity: 'd',
    identityIndex: null,
    bytes,
    rows,
  } as const;
  const { kind, ...cost } = costOf({ table, choice, asked, incomparable: [] }, 11);
  const index = choice.by === 'index' ? { index: choice.index } : {};
  return { database, table: `public.${name}`, choice: kind, ...index, ...cost, bytes, rows };
}

test('each table by its database, each cost once, the lines to copy', () => {
  const nothing = { by: 'nothing', why: 'there is no unique index on NOT NULL columns, and …', key: true } as const;
  const text = renderIdentities(
    {
      tables: [
        planned('My "odd" DB', 'Order\nItems', 12 * MB, { by: 'index', index: 'by "sku"' }, { rows: 100_000 }),
        planned('My "odd" DB', 'fish', 8192, { by: 'full' }),
        planned('My "odd" DB', 'log', 3000 * MB, { by: 'surrogate-key', inBatches: true }, { rows: 1, asked: true }),
        planned('zoo', 'notes', 3 * MB, { by: 'surrogate-key', inBatches: false }, { rows: 12, asked: true }),
        planned('zoo', 'told', 3 * MB, { by: 'full' }, { asked: true }),
        planned('zoo', 'mine', 0, { by: 'skip' }, { asked: true }),
        planned('zoo', 'documents', 3 * MB, nothing),
      ],
      rules: 'fix:\n  tables:\n    - { database: "zoo", table: "public.documents", choice: surrogate-key }',
      unused: ['{ database: *, table: public.lgo }'],
    },
    plain,
    100,
  );
  expect(text).toMatchSnapshot();
});

test('nothing to do is nothing to say, but of a rule that means no table', () => {
  expect(renderIdentities({ tables: [], unused: [] }, plain, 80)).toBe('');
  expect(renderIdentities({ tables: [], unused: ['{ database: *, table: a.b }'] }, plain, 80)).toBe(
    '! fix.tables: no table fits { database: *, table: a.b }',
  );
});
