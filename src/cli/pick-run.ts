import { ConfigError } from '../errors.ts';
import { latestRun, listRuns } from '../queue/read-run.ts';
import type { RunState } from '../queue/types.ts';
import { visible } from './render/text.ts';
import type { Session } from './session.ts';

/**
 * The run that was named, or the only one in one of these states.
 * @throws ConfigError when none was named and there is none, or more than one.
 */
export async function pickRun(
  session: Session,
  named: string | undefined,
  states: readonly RunState[],
  what: string,
): Promise<string> {
  if (named !== undefined) return named;
  const candidates = (await listRuns(session.queues)).filter(
    (run) => states.includes(run.state) && run.undoes === undefined,
  );
  const [only] = candidates;
  if (!only) throw new ConfigError(`no run ${what}`, { hint: 'See pgconvoy runs.' });
  if (candidates.length > 1) {
    throw new ConfigError(
      `${candidates.length} runs: which one? It ${what}: ${candidates.map((run) => run.id).join(', ')}`,
      {
        hint: 'Give the id of the run.',
      },
    );
  }
  return only.id;
}

/**
 * The run that was named, or the latest.
 * @throws ConfigError when there is none yet.
 */
export async function pickLatest(session: Session, named: string | undefined): Promise<string> {
  const run = named ?? (await latestRun(session.queues))?.id;
  if (run === undefined) {
    throw new ConfigError(`no run is known to the queue at ${visible(session.queues.address)}`, {
      hint: 'Start one, e.g. pgconvoy check.',
    });
  }
  return run;
}
