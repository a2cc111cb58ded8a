/** What a preflight check saw. Findings are data: they never hide each other, and an error means "could not look". */
export interface Finding {
  /** Stable name of what was found, e.g. `no-replica-identity`; what `accept:` in the configuration names. */
  readonly code: string;
  /** `block`: the upgrade would fail or lose something. `warning`: an operator should know. */
  readonly severity: 'block' | 'warning';
  readonly side: 'source' | 'target';
  /** The database, or undefined for the cluster itself. */
  readonly database?: string | undefined;
  /** The object by its qualified name, or the setting. */
  readonly object?: string | undefined;
  /** What was found and what it means, a sentence with the value found and the value needed. */
  readonly message: string;
  /** The exact remedy: the very lines to type, and whether a restart is needed. */
  readonly remedy: string;
  /** The point of the check that found it (`Point.id`). */
  readonly point?: string | undefined;
  /** It would block, but the configuration accepts it. */
  readonly accepted?: true | undefined;
}

/** Whether the configuration accepts a finding: `code`, or `code:database` for one database alone. */
export const isAccepted = (
  { code, database }: Pick<Finding, 'code' | 'database'>,
  accepted: readonly string[],
): boolean => accepted.includes(code) || (database !== undefined && accepted.includes(`${code}:${database}`));

/** Accepted findings no longer block; they stay visible as warnings. */
export function acceptFindings(findings: readonly Finding[], accepted: readonly string[]): Finding[] {
  return findings.map((finding) =>
    finding.severity === 'block' && isAccepted(finding, accepted)
      ? {
          ...finding,
          severity: 'warning',
          accepted: true,
          message: `${finding.message} (accepted in the configuration)`,
        }
      : finding,
  );
}
