import { visibleLines } from '../render/text.ts';
import { headText } from './document.ts';
import type { Block, Document } from './document.ts';

const STYLE = `
:root { color-scheme: light dark; --text: #1a1a1a; --page: #fff; --line: #ccc; --head: #f2f2f2; --dim: #555; --alarm: #b00020; --alarm-page: #fdecee; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e4e4; --page: #16181b; --line: #43474d; --head: #24272c; --dim: #a3a9b0; --alarm: #ff6b7d; --alarm-page: #3a1c21; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 72rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); } h3 { font-size: 1.05rem; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .9em; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: var(--head); } .right { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.warning { border-left: 4px solid var(--alarm); background: var(--alarm-page); padding: .5rem .8rem; font-weight: 600; }
@media print {
  :root { color-scheme: light; --text: #000; --page: #fff; --line: #999; --head: #f2f2f2; --dim: #444; --alarm: #b00020; --alarm-page: #fff; }
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; }
}
`;

/** A document as one HTML file that needs nothing else and runs nothing. */
export function htmlOf({ title, blocks }: Document): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${blocks.map(blockText).join('\n')}
</body>
</html>
`;
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `<h${block.level}>${escaped(block.text)}</h${block.level}>`;
    case 'paragraph':
      return `<p>${escaped(block.text)}</p>`;
    case 'warning':
      return `<p class="warning">${escaped(block.text)}</p>`;
    case 'facts':
      return `<dl>${block.facts.map(([label, value]) => `<dt>${escaped(label)}</dt><dd>${escaped(value)}</dd>`).join('')}</dl>`;
    case 'table':
      return tableText(block);
    default:
      return block satisfies never;
  }
}

function tableText({ head, rows }: Extract<Block, { readonly kind: 'table' }>): string {
  const mark = head.map((each) => (typeof each === 'string' ? '' : ' class="right"'));
  const cells = (name: 'th' | 'td', texts: readonly string[]) =>
    `<tr>${texts.map((text, at) => `<${name}${mark[at] ?? ''}>${escaped(text)}</${name}>`).join('')}</tr>`;
  const body = rows.map((row) => cells('td', row)).join('\n');
  return `<table>\n<thead>${cells('th', head.map(headText))}</thead>\n<tbody>\n${body}\n</tbody>\n</table>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string =>
  visibleLines(text)
    .replaceAll(/[&<>"']/g, (char) => ENTITIES[char]!)
    .replaceAll('\n', '<br>');
