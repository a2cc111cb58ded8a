import { bytes, seconds } from './format.js';

const WIDTH = 440;
const HEIGHT = 72;
const NAMESPACE = 'http://www.w3.org/2000/svg';

/**
 * Lag over time: one line, its largest and its last value in words.
 * @param {readonly { at: number, lagBytes: number, lagSeconds?: number }[]} samples
 */
export function plot(samples) {
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'plot', role: 'img' });
  const isTimed = samples.every(({ lagSeconds }) => lagSeconds !== undefined);
  const values = samples.map(({ lagBytes, lagSeconds }) => (isTimed ? /** @type {number} */ (lagSeconds) : lagBytes));
  const words = (/** @type {number} */ value) => (isTimed ? seconds(value * 1_000) : bytes(value));
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last) return picture;
  const most = Math.max(isTimed ? 1 : 8_192, ...values);
  const span = Math.max(1, last.at - first.at);
  const x = (/** @type {number} */ at) => ((at - first.at) / span) * (WIDTH - 2) + 1;
  const y = (/** @type {number} */ value) => HEIGHT - 2 - (value / most) * (HEIGHT - 16);
  const points = samples.map(({ at }, index) => `${x(at).toFixed(1)},${y(values[index] ?? 0).toFixed(1)}`);
  picture.setAttribute(
    'aria-label',
    `Lag over the last ${seconds(span)}: at most ${words(Math.max(...values))}, now ${words(values.at(-1) ?? 0)}`,
  );
  const base = svg('line', {
    x1: '0',
    x2: String(WIDTH),
    y1: String(HEIGHT - 2),
    y2: String(HEIGHT - 2),
    class: 'base',
  });
  const line = svg('polyline', { points: points.join(' ') });
  const label = svg('text', { x: '2', y: '11' });
  label.textContent = `${words(most)}`;
  const time = svg('text', { x: String(WIDTH - 2), y: '11', 'text-anchor': 'end' });
  time.textContent = `last ${seconds(span)}`;
  picture.append(base, line, label, time);
  return picture;
}

/** @param {string} name @param {Record<string, string>} attributes */
function svg(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
