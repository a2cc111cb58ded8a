/** States in words, as the command line says them. */

/** @type {Record<string, string>} */
export const RUN_STATES = {
  running: 'running',
  'waiting-approval': 'waits for approval',
  'failed-steps': 'steps failed',
  cancelling: 'being cancelled',
  cancelled: 'cancelled',
  completed: 'completed',
  failed: 'failed',
};

/** Of a lane, in the order in which they need an operator's eye. @type {Record<string, { symbol: string, word: string }>} */
export const LANE_STATES = {
  failed: { symbol: '✗', word: 'failed' },
  delayed: { symbol: '!', word: 'tries again' },
  active: { symbol: '▸', word: 'active' },
  cancelled: { symbol: '–', word: 'cancelled' },
  waiting: { symbol: '·', word: 'waiting' },
  completed: { symbol: '✓', word: 'done' },
};

/** By the letter of a cell. @type {Record<string, string>} */
export const STEP_STATES = {
  p: 'pending',
  w: 'waiting',
  a: 'active',
  d: 'delayed',
  c: 'completed',
  f: 'failed',
  x: 'cancelled',
};

/** @param {{ state: string }} lane */
export const laneState = ({ state }) => (state === 'pending' ? 'waiting' : state);
