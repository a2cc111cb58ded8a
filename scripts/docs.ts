/**
 * npm run docs [-- --check]
 * Writes what documentation comes from the program itself: docs/reference.md, findings.md, errors.md, and the facts in
 * how-it-works.md. With --check it only compares, so that CI sees a page that has fallen behind, or a link that leads nowhere.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorsPage } from './docs/errors.ts';
import { findingsPage } from './docs/findings.ts';
import { withOperations } from './docs/how-it-works.ts';
import { brokenLinks, pages, read } from './docs/links.ts';
import { referencePage } from './docs/reference.ts';

const made: Readonly<Record<string, string>> = {
  'docs/reference.md': await referencePage(),
  'docs/findings.md': findingsPage(),
  'docs/errors.md': errorsPage(),
  'docs/how-it-works.md': withOperations(read('docs/how-it-works.md')),
};

if (process.argv.includes('--check')) {
  const behind = Object.entries(made)
    .filter(([page, text]) => read(page) !== text)
    .map(([page]) => `${page} has fallen behind the program: run npm run docs and commit it.`);
  const problems = [...behind, ...pages().flatMap((page) => brokenLinks(page, read(page)))];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
} else {
  for (const [page, text] of Object.entries(made)) writeFileSync(join(import.meta.dirname, '..', page), text);
}
