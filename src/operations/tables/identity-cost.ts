import { offers } from '../../postgres/versions.ts';
import type { TableToIdentify } from './identity.ts';

/** What a choice is called, in JSON and on the screen. */
export type ChoiceKind = 'index' | 'full' | 'surrogate-key' | 'surrogate-key in batches' | 'skip' | 'nothing';

export interface IdentityCost {
  readonly kind: ChoiceKind;
  /** Why this and nothing else, a part of a sentence. */
  readonly why: string;
  /** What it costs, whole sentences; the same for every table of this kind. */
  readonly cost: string;
  /** Rewrites the table under an exclusive lock. */
  readonly rewrites: boolean;
  /** WAL that it writes, estimated, bytes. */
  readonly walBytes: number;
}

/** What is done about a table, why, and what it costs on a source of this major. */
export function costOf(item: TableToIdentify, major: number): IdentityCost {
  const { table, choice } = item;
  const kind = choice.by === 'surrogate-key' && choice.inBatches ? 'surrogate-key in batches' : choice.by;
  return {
    kind,
    why: whyOf(item),
    cost: COSTS[kind](major),
    rewrites: kind === 'surrogate-key',
    walBytes: table.bytes * WRITTEN[kind],
  };
}

function whyOf({ choice, asked }: TableToIdentify): string {
  switch (choice.by) {
    case 'index':
      return 'unique and on NOT NULL columns';
    case 'full':
      return asked ? 'the configuration asks for it' : 'no index serves, and all columns can be compared';
    case 'surrogate-key':
      return 'no index serves, and the configuration asks for it';
    case 'skip':
      return 'the configuration leaves it to you';
    case 'nothing':
      return choice.why;
    default:
      return choice satisfies never;
  }
}

/** How often the table is written to the WAL: a rewrite once; in batches old and new pages, and the index. */
const WRITTEN: Readonly<Record<ChoiceKind, number>> = {
  index: 0,
  full: 0,
  'surrogate-key': 1,
  'surrogate-key in batches': 2,
  skip: 0,
  nothing: 0,
};

const KEY_COLUMN =
  'Applications see one more column, __pgconvoy_id, the last one, with a default: SELECT * returns it, and COPY without a list of columns or INSERT INTO … SELECT * from this table must take it into account; so must subscribers of others that read this table. uninstall drops it on both sides.';

const COSTS: Readonly<Record<ChoiceKind, (major: number) => string>> = {
  index: () => 'Free: an exclusive lock for a moment, nothing is rewritten.',
  full: () =>
    'An exclusive lock for a moment, nothing is rewritten. From then on each UPDATE and DELETE writes the whole old row to the WAL, and the target reads the table to find it (from 16 on by an index, if it has one).',
  'surrogate-key': () =>
    `The table is rewritten, with its indexes, under an exclusive lock: nobody can read or write it meanwhile. ${KEY_COLUMN}`,
  'surrogate-key in batches': (major) =>
    `No rewrite: three exclusive locks for a moment each; between them the rows get their numbers 2 MB at a time in short transactions, and the index is built beside the traffic. The table is written once more: until the next vacuum it may take twice its size on disk.${offers(major, 'notNullByCheck') ? '' : ' On this source (before 12) the last of the locks lasts as long as reading the table once.'} ${KEY_COLUMN}`,
  skip: () => 'Nothing is done. Until you have given it a key, check goes on naming it, and setup stops there.',
  nothing: () => 'Nothing is done before you decide.',
};
