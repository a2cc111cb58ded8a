import { byId, setText } from './dom.js';

/**
 * Asks once; only a yes does it.
 * @param {{ title: string, text: string, yes: string, path: string, body?: object }} deed
 */
export async function ask({ title, text, yes, path, body = {} }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('ask'));
  if (dialog.open) return;
  setText(byId('ask-title'), title);
  setText(byId('ask-text'), text);
  setText(byId('ask-yes'), yes);
  dialog.returnValue = 'no';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue === 'yes') await send(path, body);
}

/** @param {string} path @param {object} body */
async function send(path, body) {
  const said = byId('said');
  said.dataset['state'] = 'going';
  setText(said, '…');
  try {
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-XSRF-TOKEN': token() },
      body: JSON.stringify(body),
    });
    const { said: text, message } = await answer.json();
    said.dataset['state'] = answer.ok ? 'done' : 'refused';
    setText(said, text ?? message);
  } catch {
    said.dataset['state'] = 'refused';
    setText(
      said,
      'Not known whether that was done: the board does not answer. See what the page shows when it is back.',
    );
  }
}

/** The cookie that came with the page; pages from elsewhere cannot read it. */
const token = () => /(?:^|; *)XSRF-TOKEN=([^;]+)/.exec(document.cookie)?.[1] ?? '';
