import { Detail } from './detail.js';
import { byId, element, keyed, setAttribute, setText, show } from './dom.js';
import { bytes, duration, integer, moment, percent, plural, seconds } from './format.js';
import { Grid, keyOf } from './grid.js';
import { listen } from './live.js';
import { ask } from './steer.js';
import { LANE_STATES, laneState, RUN_STATES } from './words.js';

const id = decodeURIComponent(location.pathname.split('/').at(-1) ?? '');
const address = `runs/${encodeURIComponent(id)}`;
const RANKS = Object.keys(LANE_STATES);
/** Clocks of outages tick, the others are read. */
const TICK_MS = 100;

/** @type {any} */ let head;
/** @type {any[]} */ let lanes = [];
/** @type {Map<string, any>} */ const replication = new Map();
/** What the board's clock is ahead of ours. */
let ahead = 0;
let opened = '';
/** @type {any} */ let detail;

const now = () => Date.now() + ahead;
// A bare # would lead to the base address, and the page away.
const addressOf = (/** @type {string} */ key) => `${address}#${encodeURIComponent(key)}`;
const grid = new Grid(byId('grid'), byId('rows'), addressOf);
const panel = new Detail(byId('detail'), { close: closeDetail, retry: () => void askRetry(openedLane()) });
const [search, state, order] = /** @type {[HTMLInputElement, HTMLSelectElement, HTMLSelectElement]} */ (
  ['search', 'state', 'order'].map((name) => byId(name))
);

listen(`${address}/events`, {
  all(data) {
    ahead = data.clock - Date.now();
    ({ head, lanes } = data);
    drawColumns();
    draw();
    openFromAddress();
  },
  head(data) {
    head = data;
    draw();
  },
  lanes(changed) {
    for (const [index, lane] of changed) lanes[index] = lane;
    draw();
    if (changed.some((/** @type {any} */ [, lane]) => keyOf(lane) === opened)) void refreshDetail();
  },
  clusters({ databases, unreachable }) {
    for (const [name, line] of Object.entries(databases)) replication.set(name, line);
    byId('facts').dataset['away'] = unreachable.map((/** @type {any} */ { side }) => side).join(' and ');
    if (head) draw();
    if (opened) void refreshDetail();
  },
  gone({ message }) {
    setText(byId('title'), 'No such run');
    setText(byId('facts'), message);
  },
});

search.addEventListener('input', draw);
state.addEventListener('change', draw);
order.addEventListener('change', draw);
byId('filter').addEventListener('submit', (event) => event.preventDefault());
addEventListener('hashchange', openFromAddress);
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && opened && !(/** @type {HTMLDialogElement} */ (byId('ask')).open)) closeDetail();
});
byId('approve').addEventListener('click', () => void askApprove());
byId('retry').addEventListener('click', () => void askRetry());
byId('cancel').addEventListener('click', () => void askCancel());
byId('resume').addEventListener('click', () => void askResume());
setInterval(tick, TICK_MS);

function draw() {
  drawHead();
  drawStages();
  drawProblems();
  drawCutover();
  drawLanes();
}

function drawHead() {
  document.title = `${RUN_STATES[head.state]} · ${head.id}`;
  setText(byId('title'), head.id);
  byId('title').dataset['state'] = head.state;
  setAttribute(byId('jobs'), 'href', `queue/run/${encodeURIComponent(head.id)}`);
  drawFacts();
  const failed = lanes.filter((lane) => lane.state === 'failed').length;
  show(byId('approve'), head.state === 'waiting-approval');
  show(byId('retry'), failed > 0 && !head.cancel);
  show(byId('resume'), head.state === 'cancelled' && head.undoes === undefined);
  show(byId('cancel'), ['running', 'waiting-approval', 'failed-steps'].includes(head.state));
}

function drawFacts() {
  const took = (head.finishedAt ?? now()) - (head.startedAt ?? head.createdAt);
  const away = byId('facts').dataset['away'];
  const copied =
    head.copy &&
    `copied ${bytes(head.copy.bytes)} of ${bytes(head.copy.totalBytes)} (${percent(head.copy.bytes, head.copy.totalBytes)})`;
  const facts = [
    RUN_STATES[head.state],
    head.title,
    plural(databases().length, 'database'),
    seconds(took),
    ...(copied ? [copied] : []),
    `started by ${head.by}, ${moment(head.createdAt)}`,
    ...head.stages
      .filter((/** @type {any} */ { approval }) => approval)
      .map((/** @type {any} */ { approval }) => `approved by ${approval.by}, ${moment(approval.at)}`),
    ...(head.cancel ? [`cancelled by ${head.cancel.by}, ${moment(head.cancel.at)}`] : []),
    ...(head.workers === 0 && head.state === 'running'
      ? ['no worker is listening: start one with pgconvoy worker']
      : []),
    ...(away ? [`${away} cannot be asked`] : []),
  ];
  setText(byId('facts'), facts.join(' · '));
}

function drawStages() {
  keyed(
    byId('stages'),
    head.stages,
    (/** @type {any} */ stage) => String(stage.index),
    () => element('li', {}, element('span', { class: 'stage-title' }), element('span', { class: 'note' })),
    (item, stage) => {
      const [title, note] = /** @type {HTMLElement[]} */ ([...item.children]);
      setAttribute(item, 'data-state', stage.state);
      if (stage.index === head.stage) setAttribute(item, 'aria-current', 'step');
      else item.removeAttribute('aria-current');
      setText(title, stage.kind === 'gate' ? `Approval: ${stage.title}` : stage.title);
      const counted =
        stage.kind === 'database' && stage.state === 'running'
          ? `${integer(stage.done)} of ${integer(stage.lanes)}`
          : '';
      setText(
        note,
        stage.approval
          ? `by ${stage.approval.by}`
          : stage.state === 'completed'
            ? 'done'
            : counted || stage.state.replace('-', ' for '),
      );
    },
  );
}

function drawProblems() {
  const all = [
    ...(head.error ? [{ kind: 'failed', key: 'the run itself', databases: [], count: 0, ...head.error }] : []),
    ...head.problems,
  ];
  show(byId('problems'), all.length > 0);
  keyed(byId('problems'), all, ({ kind, key, message }) => `${kind} ${key} ${message}`, makeProblem, updateProblem);
}

/** @param {any} problem */
function makeProblem({ key }) {
  const retry = element('button', { type: 'button' }, 'Retry…');
  const made = element(
    'article',
    { class: 'problem' },
    element('h2', {}),
    element('p', { class: 'who' }),
    element('p', { class: 'text' }),
    element('p', { class: 'text remedy' }),
    retry,
  );
  retry.addEventListener('click', () => void askRetry(undefined, key === 'the run itself' ? undefined : key));
  return made;
}

/** @param {HTMLElement} place @param {any} problem */
function updateProblem(place, { kind, key, message, hint, databases: names, count }) {
  const [title, who, text, remedy, retry] = /** @type {HTMLElement[]} */ ([...place.children]);
  setAttribute(place, 'data-state', kind);
  setText(
    title,
    `${key} ${kind === 'failed' ? 'failed' : 'is tried again'}${count > 1 ? ` in ${plural(count, 'database')}` : ''}`,
  );
  setText(text, message);
  setText(remedy, hint ? `→ ${hint}` : '');
  show(retry, kind === 'failed' && !head.cancel);
  setAttribute(retry, 'aria-label', `Retry ${key}`);
  keyed(
    who,
    names,
    (name) => keyOf({ name }),
    (name) => element('a', { href: addressOf(keyOf({ name })) }, name ?? 'servers'),
    () => {},
  );
  place.dataset['more'] = count > names.length ? `and ${integer(count - names.length)} more` : '';
}

function drawCutover() {
  const closed = lanes.filter((lane) => lane.outage?.since !== undefined);
  const over = lanes
    .flatMap((lane) => (lane.outage?.milliseconds === undefined ? [] : [lane]))
    .toSorted((one, other) => other.outage.milliseconds - one.outage.milliseconds);
  const fenced = lanes.filter((lane) => lane.outage?.since === undefined && replication.get(lane.name)?.fenced);
  show(byId('cutover'), closed.length + over.length + fenced.length > 0);
  const parts = [`${integer(over.length)} of ${plural(databases().length, 'database')} switched over`];
  const [longest] = over;
  if (longest)
    parts.push(
      `longest outage ${duration(longest.outage.milliseconds)} (${longest.name})`,
      `median ${duration(over[Math.floor(over.length / 2)].outage.milliseconds)}`,
    );
  setText(byId('cutover-sum'), parts.join(', '));
  keyed(
    byId('clocks'),
    [...closed, ...fenced].slice(0, 100),
    keyOf,
    (lane) =>
      element(
        'li',
        {},
        element('a', { href: addressOf(keyOf(lane)) }, lane.name),
        element('time', { class: 'clock' }),
        element('span', { class: 'note' }),
      ),
    (item, lane) => {
      const [, clock, note] = /** @type {HTMLElement[]} */ ([...item.children]);
      if (lane.outage?.since === undefined) delete clock.dataset['since'];
      else clock.dataset['since'] = String(lane.outage.since);
      if (!clock.dataset['since']) setText(clock, '');
      setText(
        note,
        clock.dataset['since'] ? (head.columns.database[lane.at]?.key ?? '') : 'fenced, and nothing goes on',
      );
    },
  );
  tick();
}

/** What runs: the clocks of outages, and once a second everything that tells a time. */
let ticks = 0;
function tick() {
  if (!head || document.hidden) return;
  for (const clock of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.clock[data-since]')))
    setText(clock, `${(Math.max(0, now() - Number(clock.dataset['since'])) / 1_000).toFixed(1)} s`);
  ticks += 1;
  if (ticks % 10 !== 0 || head.finishedAt !== undefined) return;
  drawFacts();
  grid.ask();
  gridPage.now = now();
  if (opened && detail) drawDetail();
}

function drawColumns() {
  const { database } = head.columns;
  const names = element('span', { class: 'cells', role: 'columnheader' });
  for (const [at, column] of database.entries()) {
    const name = element('i', {
      class: at > 0 && database[at - 1].stage !== column.stage ? 'first' : '',
      title: column.title,
    });
    name.append(element('span', {}, column.key));
    names.append(name);
  }
  setAttribute(names, 'aria-label', 'steps');
  const label = (/** @type {string} */ name, /** @type {string} */ text) =>
    element('span', { class: name, role: 'columnheader' }, text);
  byId('columns').replaceChildren(
    element('span', { class: 'symbol', role: 'columnheader', 'aria-label': 'state' }),
    label('name', 'database'),
    label('count', 'steps'),
    names,
    label('what', 'now'),
    label('lag', 'lag'),
  );
  byId('grid').style.setProperty('--steps', String(Math.max(database.length, head.columns.cluster.length)));
}

const databases = () => lanes.filter(({ name }) => name !== null);

/** @type {any} */ const gridPage = { replication, now: 0 };

function drawLanes() {
  const all = databases();
  drawStates(all);
  const wanted = search.value.trim().toLowerCase();
  const shown = lanes
    .map((lane, index) => ({ lane, index }))
    .filter(({ lane }) => {
      const isWanted = state.value === 'all' || laneState(lane) === state.value;
      return isWanted && (lane.name ?? 'servers').toLowerCase().includes(wanted);
    });
  const rank = (/** @type {any} */ lane) => (lane.name === null ? -1 : RANKS.indexOf(laneState(lane)));
  if (order.value === 'problems')
    shown.sort((one, other) => rank(one.lane) - rank(other.lane) || one.index - other.index);
  else
    shown.sort(
      (one, other) =>
        Number(one.lane.name !== null) - Number(other.lane.name !== null) || (one.lane.name < other.lane.name ? -1 : 1),
    );
  const count = shown.filter(({ lane }) => lane.name !== null).length;
  setText(
    byId('shown'),
    count === all.length ? plural(count, 'database') : `${integer(count)} of ${plural(all.length, 'database')}`,
  );
  Object.assign(gridPage, { columns: head.columns, head, opened, now: now() });
  grid.show(shown, gridPage);
  if (opened && detail) drawDetail();
}

/** The choice of states, with how many there are of each. @param {readonly any[]} all */
function drawStates(all) {
  const counts = new Map(RANKS.map((name) => [name, 0]));
  for (const lane of all) counts.set(laneState(lane), (counts.get(laneState(lane)) ?? 0) + 1);
  const options = [
    ['all', `all (${integer(all.length)})`],
    ...RANKS.map((name) => [name, `${LANE_STATES[name]?.word} (${integer(counts.get(name) ?? 0)})`]),
  ];
  keyed(
    state,
    options,
    ([value]) => value ?? '',
    ([value]) => element('option', { value }),
    (option, [, text]) => setText(option, text ?? ''),
  );
}

const openedLane = () => lanes.find((lane) => keyOf(lane) === opened);

function openFromAddress() {
  opened = decodeURIComponent(location.hash.slice(1));
  detail = undefined;
  document.body.classList.toggle('with-detail', Boolean(opened && openedLane()));
  if (head) drawLanes();
  if (opened && openedLane()) void refreshDetail(true);
  else panel.close();
}

function closeDetail() {
  const from = opened;
  history.replaceState(null, '', `${location.pathname}`);
  openFromAddress();
  grid.focus(from);
}

let asked = 0;
/** @param {boolean} [isNew] whether it was just opened: then it gets the focus */
async function refreshDetail(isNew = false) {
  const lane = openedLane();
  if (!lane) return;
  const number = ++asked;
  const query = lane.name === null ? '' : `?database=${encodeURIComponent(lane.name)}`;
  const answer = await fetch(`${address}/lane${query}`).catch(() => undefined);
  // What was asked for later is newer, or of another database.
  if (!answer?.ok || number !== asked) return;
  detail = await answer.json();
  drawDetail();
  if (isNew) byId('detail').focus({ preventScroll: true });
}

function drawDetail() {
  const lane = openedLane();
  if (lane && detail?.name === lane.name) panel.show(lane, detail, replication.get(lane.name), now());
}

function askApprove() {
  const gate = head.stages.find((/** @type {any} */ stage) => stage.state === 'waiting-approval');
  if (!gate) return;
  const behind = [...replication.values()].reduce((most, line) => Math.max(most, line.lagSeconds ?? 0), 0);
  return ask({
    title: gate.title,
    text: `This lets the run go on with ${plural(databases().length, 'database')}. In a cutover nobody can write to a database from its fence until it is open on the target.\nThe farthest behind: ${seconds(behind * 1_000)}.`,
    yes: 'Approve',
    path: `${address}/approve`,
    body: { stage: gate.index },
  });
}

/** @param {any} [lane] only this one @param {string} [step] only this step */
function askRetry(lane, step) {
  const failed = lanes.filter((one) => one.state === 'failed' && (!lane || one === lane));
  const what = lane
    ? `${lane.name ?? 'servers'}: retry the failed step?`
    : step === undefined
      ? 'Retry all failed steps?'
      : `Retry ${step} wherever it failed?`;
  return ask({
    title: what,
    text: `${lane ? '' : `Steps have failed in ${plural(failed.length, 'lane')}. `}Repair the cause first. Nothing that succeeded is done again.`,
    yes: 'Retry',
    path: `${address}/retry`,
    body: lane
      ? lane.name === null
        ? { step: head.columns.cluster[lane.at]?.key }
        : { database: lane.name }
      : step === undefined
        ? {}
        : { step },
  });
}

const askCancel = () =>
  ask({
    title: 'Cancel this run?',
    text: 'Steps in work are stopped on the servers too, no further step begins, and databases inside their cutover get their source back. What succeeded stays; the run can be resumed.',
    yes: 'Cancel the run',
    path: `${address}/cancel`,
  });

const askResume = () =>
  ask({
    title: 'Resume this run?',
    text: 'It goes on where it was; nothing that succeeded is done again.',
    yes: 'Resume',
    path: `${address}/resume`,
  });
