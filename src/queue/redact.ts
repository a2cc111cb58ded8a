/**
 * Takes passwords out of a text of somebody else (a driver, a server): URLs with user and password, and
 * `password=…` of a connection string. Our own texts never hold one.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1***@')
    .replace(
      /\b(password|passwd|pwd|secret)(\s*[=:]\s*)('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|[^\s,;&]+)/gi,
      '$1$2***',
    );
}

/** For a log: stack trace and all. */
export function redactedError(error: unknown): {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
} {
  const thrown = error instanceof Error ? error : new Error(String(error));
  return { type: thrown.name, message: withoutSecrets(thrown.message), stack: withoutSecrets(thrown.stack ?? '') };
}
