/** Which names a pattern means: `*` is any text, `?` any one character; a name that is written out fits itself. */
export function matcherOf(pattern: string): (name: string) => boolean {
  if (!/[*?]/.test(pattern)) return (name) => name === pattern;
  const source = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`, 'su');
  return (name) => name === pattern || expression.test(name);
}

export const fitsPattern = (name: string, pattern: string): boolean => matcherOf(pattern)(name);
