import { byId, setText, show } from './dom.js';

/** Why the page may be behind what is true, by who says so. */
const troubles = new Map();

/** @param {string} about @param {string | undefined} message */
function trouble(about, message) {
  if (message === undefined) troubles.delete(about);
  else troubles.set(about, message);
  const place = byId('trouble');
  setText(place, [...troubles.values()].join(' '));
  show(place, troubles.size > 0);
}

/** Server-sent events; the browser connects again by itself. @param {string} url @param {Record<string, (data: any) => void>} on */
export function listen(url, on) {
  const source = new EventSource(url);
  for (const [name, handle] of Object.entries(on))
    source.addEventListener(name, (event) => handle(JSON.parse(/** @type {MessageEvent} */ (event).data)));
  source.addEventListener('trouble', (event) => {
    const { about, holds } = JSON.parse(/** @type {MessageEvent} */ (event).data);
    trouble(about, holds ? about : undefined);
  });
  source.addEventListener('open', () => trouble('connection', undefined));
  source.addEventListener('error', () => {
    // A proxy or the board has ended it for good: try again all the same.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(url, on), 2_000);
    trouble('connection', 'The board does not answer; what is shown may be old. Trying again…');
  });
}
