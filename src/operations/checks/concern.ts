import type { OperationContext } from '../../engine/operation.ts';
import type { Point } from '../../engine/point.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import type { Side } from '../../postgres/cluster.ts';
import type { CheckFinding } from './findings.ts';

/** One line of a check, with what was found there. */
export interface CheckPoint extends Pick<Point, 'id' | 'title' | 'detail' | 'capacity'> {
  /** Where it is not the concern's own. */
  readonly side?: Point['side'];
  readonly findings: readonly CheckFinding[];
}

/** One thing to look at. Asks and judges; the judgement itself is a pure function beside it. */
export interface Concern {
  readonly name: string;
  readonly side: Point['side'];
  /** The servers it asks; that of its side, where nothing is said. */
  readonly asks?: readonly Side[];
  /** A concern that is one point of a check gives its findings; one that is several gives points. */
  look(context: OperationContext): Promise<readonly (CheckFinding | CheckPoint)[]>;
}

export interface Looked {
  readonly points: readonly Point[];
  readonly findings: readonly CheckFinding[];
}

/** The findings of points, and those that stand alone. */
export const findingsIn = (seen: readonly (CheckFinding | CheckPoint)[]): CheckFinding[] =>
  seen.flatMap((each) => ('findings' in each ? each.findings : [each]));

/**
 * Looks at every concern, one after the other. A concern that a server refuses (a privilege, a function that is not there)
 * becomes a finding and hides no other. What a run was told to leave out (`sourceOnly`, `targetOnly`) or cannot be looked at
 * (`sourceAway`, `targetAway`) is left out.
 * @throws UnreachableError and what is worth a retry: then nothing can be said about the cluster.
 */
export async function lookAtAll(
  context: OperationContext,
  concerns: readonly Concern[],
  database?: string,
): Promise<Looked> {
  const wanted = concerns.filter((concern) => isWanted(concern, context.run.options));
  const points: Point[] = [];
  const findings: CheckFinding[] = [];
  for (const [done, concern] of wanted.entries()) {
    context.signal.throwIfAborted();
    context.progress({ done, total: wanted.length, note: concern.name });
    for (const { findings: found, side = concern.side, ...point } of await pointsOf(context, concern, database)) {
      findings.push(...found.map((finding) => ({ ...finding, point: point.id })));
      const codes = [...new Set(found.map(({ code }) => code))];
      points.push({
        ...point,
        side,
        ...(database === undefined ? {} : { database }),
        ok: codes.length === 0,
        findings: codes,
      });
    }
  }
  context.progress({ done: wanted.length, total: wanted.length });
  return { points, findings };
}

export function isWanted({ side, asks }: Concern, options: OperationContext['run']['options']): boolean {
  if (options['sourceOnly'] && side === 'target') return false;
  if (options['targetOnly'] && side === 'source') return false;
  const servers = asks ?? (side === 'here' ? [] : [side]);
  return servers.every((server) => isAsked(server, options));
}

/** Whether a server is there and may be asked: `check source` leaves the target alone. */
export const isAsked = (server: Side, options: OperationContext['run']['options']): boolean =>
  !options[`${server}Away`] && !(server === 'target' && options['sourceOnly']);

async function pointsOf(context: OperationContext, concern: Concern, database?: string): Promise<CheckPoint[]> {
  const alone = (findings: readonly CheckFinding[]): CheckPoint => ({
    id: idOf(concern.name),
    title: concern.name,
    findings,
  });
  try {
    const seen = await concern.look(context);
    const points = seen.filter((each) => 'findings' in each);
    const rest = seen.filter((each) => 'code' in each);
    return points.length === 0 || rest.length > 0 ? [...points, alone(rest)] : points;
  } catch (error) {
    context.signal.throwIfAborted();
    return [alone([cannotLook(concern, database, error)])];
  }
}

const idOf = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

function cannotLook(concern: Concern, database: string | undefined, error: unknown): CheckFinding {
  if (!(error instanceof DatabaseError) || error.disposition !== 'give-up') throw error;
  return {
    code: 'cannot-look',
    severity: 'block',
    side: concern.side === 'here' ? 'source' : concern.side,
    database,
    object: concern.name,
    message: `Could not look at ${concern.name}: ${error.message}`,
    remedy: error.hint,
  };
}
