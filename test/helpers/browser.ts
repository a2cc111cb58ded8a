/** A real browser, with nothing of an earlier one: for tests of what a person sees and does. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';
import { ensureChromium } from '../../scripts/kit/kit.ts';
import { runFolder } from './run-folder.ts';

export interface Browser extends AsyncDisposable {
  readonly page: Page;
  /** What the page has complained of; a page that is well says nothing. */
  readonly complaints: string[];
}

export async function openBrowser(options: { width?: number; height?: number } = {}): Promise<Browser> {
  const program = await ensureChromium();
  const folder = mkdtempSync(join(runFolder(), 'browser-'));
  const fonts = join(folder, 'fonts.conf');
  // Where the machine has no fonts, those that came with it.
  const own = join(dirname(program), '../../share/fonts');
  writeFileSync(
    fonts,
    `<fontconfig><dir>${own}</dir><dir>/usr/share/fonts</dir><cachedir>${folder}/fonts</cachedir></fontconfig>`,
  );
  const { width = 1_280, height = 800 } = options;
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: program,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    env: { ...process.env, FONTCONFIG_FILE: fonts } as Record<string, string>,
    viewport: { width, height },
  });
  context.setDefaultTimeout(30_000);
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  return {
    page,
    complaints,
    async [Symbol.asyncDispose]() {
      await context.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
