/** A document without a format: all texts are plain, renderers escape them. */
export interface Document {
  readonly title: string;
  readonly blocks: readonly Block[];
}

export type Block =
  | { readonly kind: 'heading'; readonly level: 2 | 3; readonly text: string }
  | { readonly kind: 'paragraph'; readonly text: string }
  /** Something that must not be overlooked. */
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'facts'; readonly facts: readonly Fact[] }
  | { readonly kind: 'table'; readonly head: readonly Head[]; readonly rows: readonly (readonly string[])[] };

type Fact = readonly [label: string, value: string];
/** A column of numbers is given as `{ right: 'rows' }`. */
export type Head = string | { readonly right: string };

export const heading = (level: 2 | 3, text: string): Block => ({ kind: 'heading', level, text });
export const paragraph = (text: string): Block => ({ kind: 'paragraph', text });
export const warning = (text: string): Block => ({ kind: 'warning', text });

/** Facts without a value are left out; none at all, no list. */
export function facts(all: readonly (readonly [label: string, value: string | null | undefined])[]): readonly Block[] {
  const known = all.flatMap(([label, value]): Fact[] => (value ? [[label, value]] : []));
  return known.length === 0 ? [] : [{ kind: 'facts', facts: known }];
}

/** No rows, no table. */
export const table = (head: readonly Head[], rows: readonly (readonly string[])[]): readonly Block[] =>
  rows.length === 0 ? [] : [{ kind: 'table', head, rows }];

export const headText = (head: Head): string => (typeof head === 'string' ? head : head.right);
