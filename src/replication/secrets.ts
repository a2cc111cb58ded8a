/** Whatever of a connection string must not be repeated: all of it, and the password as written and as meant. */
export function secretsOf(conninfo: string): string[] {
  const written = /password\s*=\s*'((?:[^'\\]|\\.)*)'/.exec(conninfo)?.[1] ?? '';
  return [conninfo, written, written.replaceAll(/\\(.)/g, '$1')];
}
