/**
 * Takes passwords out of a text of somebody else (a driver, a server): URLs with user and password, and
 * `password=…` of a connection string. Our own texts never hold one.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, '$1***@')
    .replace(/\b(password|passwd|pwd|secret)(\s*[=:]\s*)('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|[^\s,;&]+)/gi, '$1$2***');
}
