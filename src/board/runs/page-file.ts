import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What browsers get as it is. It lies above this file at different depths: in the sources and in dist. */
export const PAGES: string = find(import.meta.dirname);

function find(folder: string): string {
  const pages = join(folder, 'src/board/pages');
  return existsSync(pages) ? pages : find(dirname(folder));
}

/** A page with the path that everything on it is relative to; a base path holds nothing that HTML reads otherwise. */
export const pageFile = (name: string, basePath: string): string =>
  readFileSync(join(PAGES, name), 'utf8').replace(
    '<base href="/" />',
    `<base href="${basePath === '/' ? '/' : `${basePath}/`}" />`,
  );
