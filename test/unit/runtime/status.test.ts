import { describe, expect, test } from 'vitest';
import type { SlotLag } from '../../../src/postgres/catalog/replication-lag.ts';
import type { SubscriptionOverview } from '../../../src/replication/engine.ts';
import { judge, secondsBehind } from '../../../src/runtime/status/judge.ts';
import type { Seen } from '../../../src/runtime/status/judge.ts';

const slot = (more: Partial<SlotLag> = {}): SlotLag => ({
  name: 'pgconvoy_x',
  database: 'shop',
  active: true,
  writtenTo: 1_000,
  confirmedTo: 1_000,
  flushLagSeconds: null,
  silentSeconds: 0.2,
  retainedBytes: 5_000,
  walStatus: 'reserved',
  safeBytes: null,
  ...more,
});
const subscription = (more: Partial<SubscriptionOverview> = {}): SubscriptionOverview => ({
  database: 'shop',
  enabled: true,
  applying: true,
  copying: 0,
  ...more,
});
const seen = (more: Partial<Seen> = {}): Seen => ({
  database: 'shop',
  setup: {
    source: { exists: true, slot: true, fenced: false },
    target: { exists: true, ours: true, schema: 'complete', subscription: true, opened: false },
  },
  slot: slot(),
  lagSeconds: 0,
  subscription: subscription(),
  tables: undefined,
  workers: { used: 2, most: 4 },
  inCopy: false,
  known: { source: true, target: true },
  ...more,
});

describe('why a database is down', () => {
  test.each<[string, Partial<Seen>, RegExp]>([
    ['the slot is gone', { slot: undefined }, /slot on the source is gone.*pgconvoy start/],
    ['the slot is lost', { slot: slot({ walStatus: 'lost' }) }, /removed WAL that it needs \(max_slot_wal_keep_size\)/],
    [
      'no worker slot is free',
      { subscription: subscription({ applying: false }), workers: { used: 4, most: 4 } },
      /all 4 of max_logical_replication_workers are in use/,
    ],
    ['nobody knows', { subscription: subscription({ applying: false }) }, /no worker of it runs/],
    [
      'the worker fails',
      {
        subscription: subscription({
          applying: false,
          errors: { applying: 12, copying: 1, conflicts: { insert_exists: 12 } },
        }),
      },
      /12 times applying changes, once copying tables, conflict insert_exists 12 times so far/,
    ],
    [
      'the log of the worker was read',
      {
        failure: { text: 'duplicate key (Key (id)=(7) already exists.)' },
        subscription: subscription({ applying: false, errors: { applying: 2, copying: 0, conflicts: {} } }),
      },
      /so far\): duplicate key \(Key \(id\)=\(7\) already exists\.\)$/,
    ],
    [
      'the log of the worker cannot be read',
      { failure: { unread: 'its log goes to syslog' }, subscription: subscription({ applying: false }) },
      /the target's log says why \(its log goes to syslog\)$/,
    ],
    [
      'the worker does not read the slot',
      {
        slot: slot({ active: false }),
        subscription: subscription({ errors: { applying: 3, copying: 0, conflicts: {} } }),
      },
      /does not read the slot: .*3 times applying changes/,
    ],
    [
      'the target is away',
      { slot: slot({ active: false }), subscription: undefined, known: { source: true, target: false } },
      /target cannot be asked/,
    ],
  ])('%s', (_, more, reason) => {
    expect(judge(seen(more))).toMatchObject({ state: 'down', reason: expect.stringMatching(reason) as unknown });
  });
});

describe('where a database stands', () => {
  const setup = seen().setup;
  const bare = { slot: undefined, subscription: undefined };
  test.each<[string, Partial<Seen>]>([
    ['replicating', {}],
    ['replicating', { subscription: undefined, known: { source: true, target: false } }],
    ['initializing', { subscription: subscription({ copying: 2 }) }],
    ['initializing', { tables: { waiting: 0, copying: 0, catchingUp: 1, streaming: 9 } }],
    // The rows come first, the subscription after them.
    ['initializing', { subscription: undefined, inCopy: true }],
    ['missing', { subscription: undefined }],
    ['disabled', { subscription: subscription({ enabled: false, applying: false }) }],
    ['set-up', bare],
    ['not-set-up', { ...bare, setup: { ...setup, target: { ...setup.target, ours: false } } }],
    ['switched-over', { ...bare, setup: { ...setup, target: { ...setup.target, opened: true } } }],
  ])('%s', (state, more) => {
    expect(judge(seen(more)).state).toBe(state);
  });

  test('WAL that is about to be removed is said of one that still replicates', () => {
    expect(judge(seen({ slot: slot({ walStatus: 'unreserved' }) }))).toMatchObject({
      state: 'replicating',
      reason: expect.stringContaining('about to remove WAL') as unknown,
      slot: { walStatus: 'unreserved' },
    });
  });
});

describe('how old what is not confirmed can be', () => {
  const behind = { confirmedTo: 900 };
  test.each<[string, SlotLag, Parameters<typeof secondsBehind>[1], number | undefined]>([
    ['nothing is unconfirmed, however long nobody spoke', slot({ silentSeconds: 9 }), undefined, 0],
    ['the WAL sender has measured it', slot({ ...behind, flushLagSeconds: 1.5 }), undefined, 1.5],
    [
      'a large transaction: measured 0, but nothing was heard for 14 s',
      slot({ ...behind, flushLagSeconds: 0, silentSeconds: 14 }),
      undefined,
      14,
    ],
    [
      'all of it was confirmed a moment later',
      slot({ ...behind, silentSeconds: 9 }),
      { slot: slot(), elapsed: 0.12 },
      0.12,
    ],
    ['a part of it was', slot({ ...behind, silentSeconds: 9 }), { slot: slot({ confirmedTo: 950 }), elapsed: 0.12 }, 9],
    ['the source does not know', slot({ ...behind, active: false, silentSeconds: null }), undefined, undefined],
  ])('%s', (_, first, later, seconds) => {
    expect(secondsBehind(first, later)).toBe(seconds);
  });
});
