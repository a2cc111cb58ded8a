import { element, keyed, setAttribute, setText, show } from './dom.js';
import { bytes, duration, integer, moment, percent, plural, progressText, seconds } from './format.js';
import { plot } from './plot.js';
import { LANE_STATES, laneState } from './words.js';

/** One database, or the servers, with everything there is to say. */
export class Detail {
  #place;
  #handles;
  /** @type {Record<string, HTMLElement>} */ #parts = {};
  #name = '';

  /**
   * @param {HTMLElement} place
   * @param {{ close: () => void, retry: () => void }} handles
   */
  constructor(place, handles) {
    this.#place = place;
    this.#handles = handles;
  }

  close() {
    show(this.#place, false);
  }

  /** @param {any} lane @param {any} detail @param {any} line of its replication @param {number} now */
  show(lane, detail, line, now) {
    const name = lane.name ?? 'servers';
    if (this.#name !== name || !this.#place.hasChildNodes()) this.#build(name);
    show(this.#place, true);
    const { state, problem, message, hint, retry, outage, replication, graph, steps } =
      /** @type {Record<string, any>} */ (this.#parts);
    const current = detail.steps.find((/** @type {any} */ step) => step.state !== 'completed');
    setAttribute(state, 'data-state', laneState(lane));
    setText(state, `${LANE_STATES[laneState(lane)]?.word}, ${lane.done} of ${plural(lane.cells.length, 'step')} done`);
    show(problem, current?.error !== undefined);
    show(retry, current?.state === 'failed');
    setText(message, current?.error?.message ?? '');
    setText(hint, current?.error ? current.error.hint : '');
    const { outage: out } = detail;
    setText(
      outage,
      !out
        ? ''
        : out.milliseconds === undefined
          ? `Nobody can write to it, for ${seconds(now - out.since)} now.`
          : `Nobody could write to it for ${duration(out.milliseconds)}.`,
    );
    setText(replication, lane.name === null ? '' : replicationText(line, detail.growth));
    this.#graph(graph, detail.samples);
    keyed(
      steps,
      detail.steps,
      (/** @type {any} */ step) => step.id,
      makeStep,
      (item, step) => updateStep(item, step, now),
    );
  }

  /** @param {HTMLElement} place @param {readonly any[]} samples */
  #graph(place, samples) {
    const stamp = `${samples.length} ${samples.at(-1)?.at}`;
    if (place.dataset['stamp'] === stamp) return;
    place.dataset['stamp'] = stamp;
    place.replaceChildren(...(samples.length < 2 ? [] : [plot(samples)]));
  }

  /** @param {string} name */
  #build(name) {
    this.#name = name;
    const part = (/** @type {string} */ key, /** @type {HTMLElement} */ made) => (this.#parts[key] = made);
    const close = element('button', { type: 'button', class: 'close', 'aria-label': `Close ${name}` }, '✕');
    close.addEventListener('click', this.#handles.close);
    const retry = part('retry', element('button', { type: 'button', class: 'main' }, 'Retry this step…'));
    retry.addEventListener('click', this.#handles.retry);
    this.#place.replaceChildren(
      close,
      element('h2', { id: 'detail-name' }, name),
      part('state', element('p', { class: 'badge' })),
      part(
        'problem',
        element(
          'div',
          { class: 'problem' },
          part('message', element('p', { class: 'text' })),
          element('h3', {}, 'What to do'),
          part('hint', element('p', { class: 'text remedy' })),
          retry,
        ),
      ),
      part('outage', element('p', { class: 'outage' })),
      part('replication', element('p', { class: 'text' })),
      part('graph', element('div', {})),
      element('h3', {}, 'Steps'),
      part('steps', element('ol', { class: 'steps' })),
    );
  }
}

/** Where its replication stands, and how long the source can keep what it needs. @param {any} line @param {number | undefined} growth bytes a second */
function replicationText(line, growth) {
  if (!line) return '';
  const parts = [`Replication: ${line.state}${line.reason ? `: ${line.reason}` : ''}`];
  if (line.fenced) parts.push('Fenced: nobody can write to it on the source.');
  if (line.tables) {
    const { waiting, copying, catchingUp, streaming } = line.tables;
    parts.push(
      `Tables: ${integer(waiting)} wait, ${integer(copying)} being copied, ${integer(catchingUp)} catch up, ${integer(streaming)} stream`,
    );
  }
  if (line.lagBytes !== undefined)
    parts.push(
      `Behind by ${bytes(line.lagBytes)}${line.lagSeconds === undefined ? '' : `, at most ${seconds(line.lagSeconds * 1_000)}`}`,
    );
  const { slot } = line;
  if (slot) {
    const pace = growth === undefined ? '' : growth > 1 ? `, ${bytes(growth)} more each second` : ', not growing';
    parts.push(
      `Slot: ${slot.active ? 'being read' : 'nobody reads it'}, keeps ${bytes(slot.retainedBytes)} of WAL${slot.walStatus ? ` (${slot.walStatus})` : ''}${pace}`,
    );
    if (slot.safeBytes !== undefined)
      parts.push(
        growth !== undefined && growth > 1
          ? `The source removes WAL it needs in about ${seconds((slot.safeBytes / growth) * 1_000)} at this pace (${bytes(slot.safeBytes)} left)`
          : `${bytes(slot.safeBytes)} left until the source removes WAL it needs`,
      );
  }
  return parts.join('\n');
}

/** @param {any} step */
const makeStep = (step) =>
  element(
    'li',
    {},
    element('b', { 'aria-hidden': 'true' }),
    element('a', {}, step.key),
    element('span', { class: 'note' }),
    element('span', { class: 'text more' }),
    element('ul', { class: 'tables' }),
  );

/** @param {HTMLElement} item @param {any} step @param {number} now */
function updateStep(item, step, now) {
  const [symbol, link, note, more, tables] = /** @type {HTMLElement[]} */ ([...item.children]);
  const state = laneState(step);
  setAttribute(item, 'data-state', step.state);
  setText(symbol, step.state === 'pending' ? '' : (LANE_STATES[state]?.symbol ?? ''));
  // There is a job as soon as its stage has begun.
  if (step.state !== 'pending') setAttribute(link, 'href', `queue/${step.queue}/${encodeURIComponent(step.id)}`);
  setText(note, noteText(step, now));
  const elapsed = step.startedAt === undefined ? 0 : now - step.startedAt;
  const lines = [
    ...(step.progress && step.state === 'active' ? [progressText(step.progress, elapsed)] : []),
    ...step.findings.map(
      (/** @type {any} */ one) =>
        `${one.severity === 'block' ? '✗' : '!'} ${one.object ? `${one.object}: ` : ''}${one.message}${one.accepted ? '' : `\n→ ${one.remedy}`}`,
    ),
  ];
  setText(more, lines.join('\n'));
  keyed(
    tables,
    step.state === 'active' ? (step.progress?.tables ?? []) : [],
    (/** @type {any} */ table) => table.name,
    () => element('li', {}, element('span', {}), element('progress', { max: '1' }), element('span', { class: 'note' })),
    (row, table) => {
      const [name, bar, text] = /** @type {HTMLElement[]} */ ([...row.children]);
      setText(name, table.name);
      setAttribute(bar, 'value', String(table.total <= 0 ? 1 : Math.min(1, table.done / table.total)));
      setAttribute(bar, 'aria-label', `copied of ${table.name}`);
      setText(text, `${percent(table.done, table.total)} of ${bytes(table.total)}`);
    },
  );
}

/** @param {any} step @param {number} now */
function noteText({ state, attempts, startedAt, finishedAt, retryAt, changed, attemptTimes }, now) {
  const tried = attempts > 1 ? [`${attempts} attempts since ${moment(attemptTimes[0]?.startedAt ?? startedAt)}`] : [];
  const took = startedAt !== undefined && finishedAt !== undefined ? [duration(finishedAt - startedAt)] : [];
  switch (state) {
    case 'completed':
      return [...took, ...(changed === false ? ['already held'] : []), ...tried].join(' · ');
    case 'active':
      return [...(startedAt === undefined ? [] : [seconds(now - startedAt)]), ...tried].join(' · ');
    case 'delayed':
      return [
        retryAt === undefined || retryAt <= now ? 'tries again now' : `tries again in ${seconds(retryAt - now)}`,
        ...tried,
      ].join(' · ');
    case 'pending':
      return '';
    default:
      return [state, ...took, ...tried].join(' · ');
  }
}
