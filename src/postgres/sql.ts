/** A statement made by the `sql` tag: text with `$n` placeholders and the values that go there. */
export class Sql {
  readonly #brand = true;
  readonly text: string;
  readonly values: readonly unknown[];
  constructor(text: string, values: readonly unknown[]) {
    this.text = text;
    this.values = values;
  }
  static is(value: unknown): value is Sql {
    return typeof value === 'object' && value !== null && #brand in value;
  }
}

/** Text that is put into the statement as it is. Made only by `id`, `lit`, `join` and `trusted`. */
class Fragment {
  readonly #brand = true;
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  static is(value: unknown): value is Fragment {
    return typeof value === 'object' && value !== null && #brand in value;
  }
}
export type { Fragment };

/**
 * A statement. `${value}` becomes a parameter; identifiers go through `id`, literals where PostgreSQL allows no
 * parameter (DDL) through `lit`. A `Sql` inside a `Sql` is put in with its parameters renumbered.
 * @example sql`select ${1}::int from ${id('public', 'Order Items')}`
 */
export function sql(strings: TemplateStringsArray, ...parts: readonly unknown[]): Sql {
  let text = strings[0] ?? '';
  const values: unknown[] = [];
  for (const [index, part] of parts.entries()) {
    if (Fragment.is(part)) text += part.text;
    else if (Sql.is(part)) {
      const offset = values.length;
      text += part.text.replaceAll(/\$(\d+)/g, (_, n: string) => `$${Number(n) + offset}`);
      values.push(...part.values);
    } else {
      values.push(part);
      text += `$${values.length}`;
    }
    text += strings[index + 1] ?? '';
  }
  return new Sql(text, values);
}

/** An identifier, each part quoted: `id('public', 'Order Items')` is `"public"."Order Items"`. */
export function id(...parts: readonly string[]): Fragment {
  return new Fragment(parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.'));
}

/** A string literal for statements that take no parameters (DDL). Independent of standard_conforming_strings. */
export function lit(value: string): Fragment {
  const quoted = value.replaceAll("'", "''");
  return new Fragment(quoted.includes('\\') ? ` E'${quoted.replaceAll('\\', '\\\\')}'` : `'${quoted}'`);
}

/** Fragments side by side; WARNING: the separator is put in as it is. */
export function join(parts: readonly Fragment[], separator = ', '): Fragment {
  return new Fragment(parts.map((part) => part.text).join(separator));
}

/** A fragment that holds other fragments but no values, for parts of DDL that come and go. */
export function fragment(strings: TemplateStringsArray, ...parts: readonly Fragment[]): Fragment {
  return new Fragment(strings.reduce((text, part, index) => text + (parts[index - 1]?.text ?? '') + part));
}

/** WARNING: put in as it is. Only for what PostgreSQL itself wrote: pg_dump output, pg_get_*def(), a type's name. */
export function trusted(text: string): Fragment {
  return new Fragment(text);
}

/** WARNING: a whole statement as it is. Only for what PostgreSQL itself wrote: pg_dump output, pg_get_*def(). */
export function trustedStatement(text: string): Sql {
  return new Sql(text, []);
}
