import { parseDocument } from 'yaml';

/** A ${ that means itself; as text, a replacement of $$ would be one $. */
export const escapedVariables = (text: string): string => text.replaceAll('${', () => '$${');

/** A text as it is written into a configuration: plain where that reads back as the same text, in braces too, else in double quotes. */
export function yamlScalar(text: string): string {
  const escaped = escapedVariables(text);
  return readsBack(escaped) ? escaped : JSON.stringify(escaped);
}

function readsBack(text: string): boolean {
  if (!/^[\w./:@+=,*?~-][\w ./:@+=*?$~-]*$/.test(text)) return false;
  const document = parseDocument(`[${text}]`, { logLevel: 'silent' });
  const value: unknown = document.errors.length === 0 ? document.toJS() : undefined;
  return Array.isArray(value) && value.length === 1 && value[0] === text;
}
