/** Every relative link of the documentation leads to a file that is there, and to a heading that is in it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** All pages that people read, by their path from the root. */
export const pages = (): string[] => [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'bench/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => posix.join('docs', name)),
];

export const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

/** What is code holds no links and no headings. */
const proseOf = (text: string): string => text.replaceAll(/^```.*?^```/gms, '');

/** Links of a page, each that leads nowhere with the reason. */
export function brokenLinks(page: string, text: string): string[] {
  const links = [
    ...proseOf(text)
      .replaceAll(/`[^`\n]*`/g, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, link = '']) => link);
  return links
    .filter((link) => !/^[a-z]+:/.test(link))
    .flatMap((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : posix.join(dirname(page), path);
      if (!existsSync(join(ROOT, target))) return [`${page}: ${link} leads to no file`];
      const there = anchor === undefined || anchorsOf(target === page ? text : read(target)).has(anchor);
      return there ? [] : [`${page}: ${link} leads to no heading`];
    });
}

/** As GitHub makes them of headings: a second one of the same text gets -1. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(text).matchAll(/^#+ (.*)$/gm)) {
    const plain = heading
      .toLowerCase()
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-');
    let anchor = plain;
    for (let more = 1; anchors.has(anchor); more++) anchor = `${plain}-${more}`;
    anchors.add(anchor);
  }
  return anchors;
}
