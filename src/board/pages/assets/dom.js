/** The few lines that stand for a framework. Text is only ever text: nothing here reads HTML. */

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
export const byId = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * @param {string} name @param {Record<string, string | undefined>} [attributes] @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** What is as it was is not touched. @param {Element} where @param {string} text */
export function setText(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** @param {Element} where @param {string} name @param {string} value */
export function setAttribute(where, name, value) {
  if (where.getAttribute(name) !== value) where.setAttribute(name, value);
}

/** @param {HTMLElement} where @param {boolean} isShown */
export function show(where, isShown) {
  if (where.hidden === isShown) where.hidden = !isShown;
}

/**
 * Makes a list hold one element for each item, keeping those that are there.
 * @template I @param {Element} list @param {readonly I[]} items @param {(item: I) => string} keyOf
 * @param {(item: I) => HTMLElement} make @param {(element: HTMLElement, item: I) => void} update
 */
export function keyed(list, items, keyOf, make, update) {
  const known = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset['key'], child]));
  /** @type {ChildNode | null} */
  let previous = null;
  for (const item of items) {
    const key = keyOf(item);
    let child = /** @type {HTMLElement | undefined} */ (known.get(key));
    known.delete(key);
    if (!child) {
      child = make(item);
      child.dataset['key'] = key;
    }
    /** @type {ChildNode | null} */
    const after = previous ? previous.nextSibling : list.firstChild;
    if (after !== child) list.insertBefore(child, after);
    update(child, item);
    previous = child;
  }
  for (const gone of known.values()) gone.remove();
}
