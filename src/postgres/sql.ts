import { createHash } from 'node:crypto';
import { ANY_NEWER, offers } from './versions.ts';
import type { Feature } from './versions.ts';

interface Rendered {
  readonly text: string;
  readonly values: readonly unknown[];
  /** Under which a session keeps its plan; undefined: it does not. */
  readonly name?: string | undefined;
}

/**
 * A statement made by the `sql` tag: text with `$n` placeholders and the values that go there. What majors write differently
 * (`since`) is decided by the server that runs it.
 */
export class Sql {
  readonly #brand = true;
  readonly #render: (major: number) => Rendered;
  constructor(render: (major: number) => Rendered) {
    this.#render = render;
  }
  /** As a server of this major understands it. */
  at(major: number): Rendered {
    return this.#render(major);
  }
  /** The same with its values as literals: only so several statements fit into one message. */
  inlineAt(major: number): string {
    const { text, values } = this.#render(major);
    // A name may hold what looks like a parameter.
    if (values.length === 0) return text;
    return text.replaceAll(/\$(\d+)/g, (_, n: string) => literalOf(values[Number(n) - 1]).text);
  }
  /**
   * The same, for what a session is asked again and again: it keeps the plan, which of a query of the catalog costs about as much as its
   * rows. Its text is the same each time, but for what parameters hold.
   * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
   */
  kept(): Sql {
    return new Sql((major) => {
      const rendered = this.#render(major);
      return { ...rendered, name: nameOf(rendered.text) };
    });
  }
  get text(): string {
    return this.#render(ANY_NEWER).text;
  }
  get values(): readonly unknown[] {
    return this.#render(ANY_NEWER).values;
  }
  static is(value: unknown): value is Sql {
    return typeof value === 'object' && value !== null && #brand in value;
  }
}

const names = new Map<string, string>();

/** As long as identifiers may be. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = `pgconvoy_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    names.set(text, name);
  }
  return name;
}

/** Text that is put into the statement as it is. Made only by `id`, `lit`, `join`, `fragment`, `since` and `trusted`. */
class Fragment {
  readonly #brand = true;
  readonly #render: (major: number) => string;
  constructor(render: (major: number) => string) {
    this.#render = render;
  }
  at(major: number): string {
    return this.#render(major);
  }
  get text(): string {
    return this.#render(ANY_NEWER);
  }
  static is(value: unknown): value is Fragment {
    return typeof value === 'object' && value !== null && #brand in value;
  }
}
export type { Fragment };

const constant = (text: string): Fragment => new Fragment(() => text);

/**
 * A statement. `${value}` becomes a parameter; identifiers go through `id`, literals where PostgreSQL allows no
 * parameter (DDL) through `lit`. A `Sql` inside a `Sql` is put in with its parameters renumbered.
 * @example sql`select ${1}::int from ${id('public', 'Order Items')}`
 */
export function sql(strings: TemplateStringsArray, ...parts: readonly unknown[]): Sql {
  return new Sql((major) => {
    let text = strings[0] ?? '';
    const values: unknown[] = [];
    for (const [index, part] of parts.entries()) {
      if (Fragment.is(part)) text += part.at(major);
      else if (Sql.is(part)) {
        const offset = values.length;
        const inner = part.at(major);
        text += inner.text.replaceAll(/\$(\d+)/g, (_, n: string) => `$${Number(n) + offset}`);
        values.push(...inner.values);
      } else {
        values.push(part);
        text += `$${values.length}`;
      }
      text += strings[index + 1] ?? '';
    }
    return { text, values };
  });
}

/**
 * One part or the other, by whether the server that runs the statement offers the feature.
 * @example since('walNames', fragment`pg_current_wal_lsn()`, fragment`pg_current_xlog_location()`)
 */
export function since(feature: Feature, offered: Sql, otherwise: Sql): Sql;
export function since(feature: Feature, offered: Fragment, otherwise: Fragment): Fragment;
export function since(feature: Feature, offered: Sql | Fragment, otherwise: Sql | Fragment): Sql | Fragment {
  if (Sql.is(offered) && Sql.is(otherwise)) {
    return new Sql((major) => (offers(major, feature) ? offered : otherwise).at(major));
  }
  if (Fragment.is(offered) && Fragment.is(otherwise)) {
    return new Fragment((major) => (offers(major, feature) ? offered : otherwise).at(major));
  }
  throw new TypeError('both parts are statements or both are fragments');
}

/** An identifier, each part quoted: `id('public', 'Order Items')` is `"public"."Order Items"`. */
export function id(...parts: readonly string[]): Fragment {
  return constant(parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.'));
}

/** A string literal for statements that take no parameters (DDL). Independent of standard_conforming_strings. */
export function lit(value: string): Fragment {
  const quoted = value.replaceAll("'", "''");
  return constant(quoted.includes('\\') ? ` E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`);
}

/** A value as the server would read it as a parameter: text whose type the statement says, or a list of such. */
function literalOf(value: unknown): Fragment {
  if (value === null || value === undefined) return fragment`null`;
  if (!Array.isArray(value)) return lit(String(value));
  const items = value.map((item) => `"${String(item).replaceAll(/["\\]/g, String.raw`\$&`)}"`);
  return lit(`{${items.join(',')}}`);
}

/** Fragments side by side; WARNING: the separator is put in as it is. */
export function join(parts: readonly Fragment[], separator = ', '): Fragment {
  return new Fragment((major) => parts.map((part) => part.at(major)).join(separator));
}

/** A fragment that holds other fragments but no values, for parts of DDL that come and go. */
export function fragment(strings: TemplateStringsArray, ...parts: readonly Fragment[]): Fragment {
  return new Fragment((major) =>
    strings.reduce((text, part, index) => text + (parts[index - 1]?.at(major) ?? '') + part),
  );
}

/** WARNING: put in as it is. Only for what PostgreSQL itself wrote: pg_dump output, pg_get_*def(), a type's name. */
export function trusted(text: string): Fragment {
  return constant(text);
}

/** WARNING: a whole statement as it is. Only for what PostgreSQL itself wrote: pg_dump output, pg_get_*def(). */
export function trustedStatement(text: string): Sql {
  return new Sql(() => ({ text, values: [] }));
}
