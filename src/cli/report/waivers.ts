import type { Settings } from '../../config/schema.ts';
import { isAccepted } from '../../engine/finding.ts';
import type { Finding } from '../../engine/finding.ts';
import type { ReportedWaiver } from './report.ts';

/** What the configuration lets pass, why, and how often this run has met it. */
export function waiversOf({ accept, notReplicated }: Settings, findings: readonly Finding[]): ReportedWaiver[] {
  const accepted = accept.map((one) => {
    const met = findings.filter((finding) => finding.accepted && isAccepted(finding, [one])).length;
    if (typeof one !== 'string') {
      return { waived: one.finding, database: one.database ?? null, reason: one.reason, met };
    }
    const [waived = one, ...rest] = one.split(':');
    return { waived, database: rest.length > 0 ? rest.join(':') : null, reason: null, met };
  });
  const left = Object.entries(notReplicated).flatMap(([kind, policy]) =>
    policy === 'leave' ? [{ waived: `notReplicated.${kind}: leave`, database: null, reason: null, met: null }] : [],
  );
  return [...accepted, ...left];
}
