import type { Acceptance } from '../config/schema.ts';

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
  /** Why, where the configuration says that. */
  readonly reason?: string | undefined;
}

const covers = (accepted: Acceptance, { code, database }: Pick<Finding, 'code' | 'database'>): boolean =>
  typeof accepted === 'string'
    ? accepted === code || (database !== undefined && accepted === `${code}:${database}`)
    : accepted.finding === code && (accepted.database === undefined || accepted.database === database);

/** Whether the configuration accepts a finding: in all databases, or in this one alone. */
export const isAccepted = (finding: Pick<Finding, 'code' | 'database'>, accepted: readonly Acceptance[]): boolean =>
  accepted.some((each) => covers(each, finding));

/** Accepted findings no longer block; they stay visible as warnings, with the reason. */
export function acceptFindings(findings: readonly Finding[], accepted: readonly Acceptance[]): Finding[] {
  return findings.map((finding) => {
    if (finding.severity !== 'block' || !isAccepted(finding, accepted)) return finding;
    const reason = accepted.flatMap((each) =>
      typeof each !== 'string' && covers(each, finding) ? [each.reason] : [],
    )[0];
    return {
      ...finding,
      severity: 'warning',
      accepted: true,
      ...(reason === undefined ? {} : { reason }),
      message: `${finding.message} (accepted in the configuration${reason === undefined ? '' : `: ${reason}`})`,
    };
  });
}

/** An accepted finding in a few words: `schema-drift in billing (the old view is not used any more)`. */
export const describeAcceptance = (accepted: Acceptance): string =>
  typeof accepted === 'string'
    ? accepted
    : `${accepted.finding}${accepted.database === undefined ? '' : ` in ${accepted.database}`} (${accepted.reason})`;
