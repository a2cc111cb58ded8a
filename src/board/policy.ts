import type { BoardHooks } from '@bull-board/api/typings/app';

/** The one thing that may be done to a job here. */
const RETRY = '/api/queues/:queueName/:jobId/retry';

const REMOVED =
  'A job that is removed lets its run go on without it: a cutover could begin that way. pgconvoy cancel stops a run, and its jobs stay.';
const PACE =
  'How fast the queues run is what budgets in the configuration says. pgconvoy cancel stops one run, pgconvoy resume goes on with it.';
const FIXED =
  'What a job does, and when, is fixed by its run. pgconvoy cancel stops the run; then another one may be started.';
const SCHEDULES = 'There are no schedules in pgconvoy.';

/** By a word of the route; the first that is in it counts. */
const REASONS: readonly (readonly [word: string, reason: string])[] = [
  ['job-schedulers', SCHEDULES],
  ['clean', REMOVED],
  ['empty', REMOVED],
  ['obliterate', REMOVED],
  ['remove-unprocessed-children', REMOVED],
  [
    'promote',
    'A delayed job is an approval that is waited for, or a step that will be tried again by itself. pgconvoy approve gives the approval.',
  ],
  ['add', 'A job that no run has planned is never done. pgconvoy upgrade, or another command, starts a run.'],
  [
    'retry',
    'Failed steps are retried one by one here, each after its cause is repaired; pgconvoy retry takes all of a run.',
  ],
  ['pause', PACE],
  ['resume', PACE],
  ['concurrency', PACE],
  ['rate-limit', PACE],
  ['update-data', FIXED],
  ['delay', FIXED],
  ['priority', FIXED],
];

/** Why a route of Bull Board is refused; undefined where it may be used: to look, and to retry one job. */
function refusalOf(method: string, route: string): string | undefined {
  if (method === 'get' || (method === 'put' && route === RETRY)) return undefined;
  const words = new Set(route.split('/'));
  const reason = REASONS.find(([word]) => words.has(word))?.[1] ?? 'It could harm a run.';
  return `Not done: the board shows everything and retries single failed jobs, no more. ${reason}`;
}

export const policy: BoardHooks = {
  before: ({ method, route }) => {
    const message = refusalOf(method, route);
    return message === undefined ? { allow: true } : { allow: false, status: 403, message };
  },
};
