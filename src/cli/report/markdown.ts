import { visibleLines } from '../render/text.ts';
import { headText } from './document.ts';
import type { Block, Document } from './document.ts';

/** A document as GitHub-flavoured Markdown. Names show as they are, whatever stands in them. */
export function markdownOf({ title, blocks }: Document): string {
  return `${[`# ${escaped(title)}`, ...blocks.map(blockText)].join('\n\n')}\n`;
}

function blockText(block: Block): string {
  switch (block.kind) {
    case 'heading':
      return `${'#'.repeat(block.level)} ${escaped(block.text)}`;
    case 'paragraph':
      return escaped(block.text);
    case 'warning':
      return `> **${escaped(block.text)}**`;
    case 'facts':
      return block.facts.map(([label, value]) => `- ${escaped(label)}: ${escaped(value)}`).join('\n');
    case 'table':
      return [
        row(block.head.map(headText)),
        `|${block.head.map((head) => (typeof head === 'string' ? ' --- |' : ' ---: |')).join('')}`,
        ...block.rows.map(row),
      ].join('\n');
    default:
      return block satisfies never;
  }
}

const row = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** @see https://github.github.com/gfm/#backslash-escapes */
const escaped = (text: string): string =>
  visibleLines(text)
    .replaceAll(/[\\`*_[\]|~]/g, String.raw`\$&`)
    .replaceAll(/[&<>]/g, (char) => ENTITIES[char]!)
    .replaceAll('\n', '<br>');
