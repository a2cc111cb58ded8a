import { byId, element, keyed, setAttribute, setText, show } from './dom.js';
import { duration, moment, plural } from './format.js';
import { listen } from './live.js';
import { RUN_STATES } from './words.js';

let ahead = 0;

listen('runs/events', {
  runs({ clock, runs }) {
    ahead = clock - Date.now();
    show(byId('empty'), runs.length === 0);
    keyed(byId('runs'), runs, (run) => run.id, make, update);
  },
});

const make = () =>
  element(
    'li',
    {},
    element('a', {}, element('strong')),
    element('span', { class: 'badge' }),
    element('span', { class: 'note' }),
  );

/** @param {HTMLElement} item @param {any} run */
function update(item, run) {
  const [link, badge, note] = /** @type {HTMLElement[]} */ ([...item.children]);
  setAttribute(link, 'href', `runs/${encodeURIComponent(run.id)}`);
  setText(/** @type {Element} */ (link.firstElementChild), run.id);
  setAttribute(badge, 'data-state', run.state);
  setText(badge, RUN_STATES[run.state]);
  const took = duration((run.finishedAt ?? Date.now() + ahead) - run.createdAt);
  const parts = [
    run.title,
    plural(run.databases, 'database'),
    moment(run.createdAt),
    run.finishedAt ? took : '',
    `by ${run.by}`,
  ];
  setText(note, parts.filter(Boolean).join(' · '));
}
