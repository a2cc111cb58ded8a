import { element, setAttribute, setText } from './dom.js';
import { duration, progressText, seconds } from './format.js';
import { LANE_STATES, laneState, STEP_STATES } from './words.js';

/** Rows kept beyond both ends of what is visible. */
const BEYOND = 10;

/**
 * The matrix. Only rows that can be seen exist; each stays the same element as long as it does, so nothing flickers.
 * @typedef {{ lane: any, index: number }} Row
 */
export class Grid {
  /** @type {readonly Row[]} */ #order = [];
  /** @type {Map<string, HTMLElement>} */ #drawn = new Map();
  #current = '';
  #asked = false;
  /** @type {any} */ #page;
  #place;
  #rows;

  /** @param {HTMLElement} place @param {HTMLElement} rows @param {(key: string) => string} addressOf */
  constructor(place, rows, addressOf) {
    this.#place = place;
    this.#rows = rows;
    this.addressOf = addressOf;
    addEventListener('scroll', () => this.ask(), { passive: true });
    addEventListener('resize', () => this.ask());
    place.addEventListener('keydown', (event) => this.#onKey(event));
    place.addEventListener('focusin', (event) => {
      const row = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('[data-key]'));
      if (row) this.#setCurrent(row.dataset['key'] ?? '');
    });
  }

  /** @param {readonly Row[]} order @param {any} page what rows are drawn from beside themselves */
  show(order, page) {
    this.#order = order;
    this.#page = page;
    setAttribute(this.#place, 'aria-rowcount', String(order.length + 1));
    const height = `calc(${order.length} * var(--row))`;
    if (this.#rows.style.height !== height) this.#rows.style.height = height;
    if (!order.some(({ lane }) => keyOf(lane) === this.#current)) this.#current = order[0] ? keyOf(order[0].lane) : '';
    this.ask();
  }

  /** Draws before the next frame, however often somebody asks. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  /** @param {string} key */
  focus(key) {
    const at = this.#order.findIndex(({ lane }) => keyOf(lane) === key);
    if (at >= 0) this.#go(at);
  }

  #rowHeight() {
    return (
      Number.parseFloat(getComputedStyle(this.#rows).getPropertyValue('--row')) *
      Number.parseFloat(getComputedStyle(document.documentElement).fontSize)
    );
  }

  #draw() {
    const height = this.#rowHeight();
    const above = -this.#rows.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / height) - BEYOND);
    const last = Math.min(this.#order.length, Math.ceil((above + innerHeight) / height) + BEYOND);
    const gone = new Set(this.#drawn.keys());
    for (const [at, row] of this.#order.entries()) {
      const key = keyOf(row.lane);
      // The row that has the focus stays, however far away it is.
      if ((at < first || at >= last) && key !== this.#current) continue;
      gone.delete(key);
      let drawn = this.#drawn.get(key);
      if (!drawn) {
        drawn = makeRow(key);
        this.#drawn.set(key, drawn);
        this.#rows.append(drawn);
      }
      this.#update(drawn, row.lane, at);
    }
    for (const key of gone) {
      this.#drawn.get(key)?.remove();
      this.#drawn.delete(key);
    }
  }

  /** @param {HTMLElement} row @param {any} lane @param {number} at */
  #update(row, lane, at) {
    const [symbol, named, count, cells, what, lag] = /** @type {HTMLElement[]} */ ([...row.children]);
    const { columns, opened, replication } = this.#page;
    const state = laneState(lane);
    setAttribute(row, 'data-state', state);
    setAttribute(row, 'aria-rowindex', String(at + 2));
    setAttribute(row, 'aria-selected', String(opened === row.dataset['key']));
    const place = `translateY(calc(${at} * var(--row)))`;
    if (row.style.transform !== place) row.style.transform = place;
    const { symbol: sign, word } = /** @type {{ symbol: string, word: string }} */ (LANE_STATES[state]);
    setText(/** @type {Element} */ (symbol.firstElementChild), sign);
    setText(/** @type {Element} */ (symbol.lastElementChild), word);
    const link = /** @type {HTMLAnchorElement} */ (named.firstElementChild);
    setText(link, lane.name ?? 'servers');
    setAttribute(link, 'href', this.addressOf(/** @type {string} */ (row.dataset['key'])));
    setAttribute(link, 'title', lane.name ?? 'what is done to both servers');
    link.tabIndex = row.dataset['key'] === this.#current ? 0 : -1;
    setText(count, `${lane.done}/${lane.cells.length}`);
    drawCells(cells, lane, lane.name === null ? columns.cluster : columns.database);
    setText(what, whatText(lane, this.#page));
    setText(lag, lane.name === null ? '' : lagText(replication.get(lane.name)));
  }

  /** @param {string} key */
  #setCurrent(key) {
    if (key === this.#current) return;
    this.#current = key;
    for (const [other, row] of this.#drawn)
      /** @type {HTMLElement} */ (row.querySelector('a')).tabIndex = other === key ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.#order.findIndex(({ lane }) => keyOf(lane) === this.#current);
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight()) - 4);
    /** @type {Record<string, number>} */
    const steps = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: this.#order.length - 1,
    };
    const wanted = steps[event.key];
    if (wanted === undefined || this.#order.length === 0) return;
    event.preventDefault();
    this.#go(Math.min(this.#order.length - 1, Math.max(0, wanted)));
  }

  /** @param {number} at */
  #go(at) {
    this.#current = keyOf(this.#order[at]?.lane);
    this.#draw();
    const row = this.#drawn.get(this.#current);
    row?.querySelector('a')?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: 'nearest' });
  }
}

/** Databases may have any name, so the servers get one that none of them has. @param {any} lane */
export const keyOf = (lane) => (lane.name === null ? 'servers' : `db=${lane.name}`);

/** @param {string} key */
function makeRow(key) {
  const cell = (/** @type {string} */ name, /** @type {(Node | string)[]} */ ...children) =>
    element('span', { class: name, role: 'gridcell' }, ...children);
  const row = element(
    'div',
    { class: 'lane', role: 'row' },
    cell('symbol', element('b', { 'aria-hidden': 'true' }), element('span', { class: 'hidden' })),
    element('span', { class: 'name', role: 'rowheader' }, element('a', {})),
    cell('count'),
    cell('cells'),
    cell('what'),
    cell('lag'),
  );
  row.dataset['key'] = key;
  return row;
}

/** @param {HTMLElement} place @param {any} lane @param {readonly any[]} columns */
function drawCells(place, { cells }, columns) {
  if (place.dataset['cells'] === cells && place.childElementCount === cells.length) return;
  place.dataset['cells'] = cells;
  setAttribute(place, 'aria-label', cellsText(cells, columns));
  while (place.childElementCount > cells.length) place.lastElementChild?.remove();
  while (place.childElementCount < cells.length) place.append(document.createElement('i'));
  for (const [at, cell] of /** @type {HTMLElement[]} */ ([...place.children]).entries()) {
    const column = columns[at];
    setAttribute(cell, 'class', `${cells[at]}${at > 0 && columns[at - 1]?.stage !== column?.stage ? ' first' : ''}`);
    setAttribute(cell, 'title', `${column?.key}: ${STEP_STATES[cells[at]]}`);
  }
}

/** @param {string} cells @param {readonly any[]} columns */
function cellsText(cells, columns) {
  const at = [...cells].findIndex((cell) => cell !== 'c');
  return at < 0
    ? 'all steps done'
    : `step ${at + 1} of ${cells.length}, ${columns[at]?.key}: ${STEP_STATES[cells[at] ?? '']}`;
}

/** What a lane does right now, in a line. @param {any} lane @param {any} page */
function whatText(lane, { columns, now, head }) {
  const key = (lane.name === null ? columns.cluster : columns.database)[lane.at]?.key ?? '';
  switch (lane.state) {
    case 'failed':
      return `${key} failed: ${firstLine(lane.error)}`;
    case 'delayed': {
      const wait = lane.retryAt === undefined || lane.retryAt <= now ? 'now' : `in ${seconds(lane.retryAt - now)}`;
      return `${key} tries again ${wait}: ${firstLine(lane.error)}`;
    }
    case 'active': {
      const elapsed = lane.startedAt === undefined ? 0 : now - lane.startedAt;
      return lane.progress
        ? `${key} · ${progressText(lane.progress, elapsed)}`
        : `${key}${elapsed < 1_000 ? '' : ` · ${seconds(elapsed)}`}`;
    }
    case 'waiting':
      return `${key} waits for ${lane.queue === 'copy' ? 'a place in the copy budget' : 'a worker'}`;
    case 'pending':
      return head.state === 'waiting-approval' ? 'waits for approval' : lane.done > 0 ? 'waits for the others' : '';
    case 'cancelled':
      return `${key} cancelled`;
    default:
      return lane.outage?.milliseconds === undefined
        ? ''
        : `switched over, outage ${duration(lane.outage.milliseconds)}`;
  }
}

/** @param {string | undefined} text */
const firstLine = (text = '') => text.split('\n', 1)[0] ?? '';

/** @param {any} line of its replication */
function lagText(line) {
  if (!line) return '';
  if (line.state === 'down' || line.state === 'missing') return line.state;
  if (line.lagSeconds === undefined) return '';
  return line.lagSeconds < 1 ? '0 s' : seconds(line.lagSeconds * 1_000);
}
