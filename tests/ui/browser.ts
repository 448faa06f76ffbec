import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { waitFor } from '../../src/std/async.ts';

const candidates = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Debian's Chromium; installed when it is missing. */
async function executable(): Promise<string> {
  const found = candidates.find(path => existsSync(path));
  if (found !== undefined) return found;
  await new Promise<void>((resolve, reject) => {
    execFile('apt-get', ['install', '-y', '--no-install-recommends', 'chromium'], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 280_000 }, error => (error ? reject(error) : resolve()));
  });
  return candidates[0]!;
}

/**
 * A real Chromium with a profile of its own. What it asks for outside of the origin it was opened on is not found, and written down,
 * and so is everything that it complains of.
 */
export class Browser {
  readonly context: BrowserContext;
  readonly foreign: string[] = [];
  readonly complaints: string[] = [];
  readonly #profile: string;

  private constructor(context: BrowserContext, profile: string) {
    this.context = context;
    this.#profile = profile;
  }

  static async start(options: { readonly colorScheme?: 'light' | 'dark'; readonly width?: number; readonly height?: number } = {}): Promise<Browser> {
    const profile = mkdtempSync(join(tmpdir(), 'cirri-chromium-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: await executable(), headless: true, viewport: { width: options.width ?? 1440, height: options.height ?? 900 }, colorScheme: options.colorScheme ?? 'light', timezoneId: 'UTC', locale: 'en-GB',
      args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', '--no-default-browser-check'],
    });
    return new Browser(context, profile);
  }

  async open(url: string): Promise<Page> {
    const page = await this.context.newPage();
    const { origin } = new URL(url);
    // Watched, not held: a request that is held while its page is navigated anew may never be let go.
    page.on('request', request => {
      const asked = request.url();
      if (!asked.startsWith(`${origin}/`) && !asked.startsWith('data:')) this.foreign.push(asked);
    });
    page.on('pageerror', error => this.complaints.push(String(error)));
    page.on('console', message => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
    await page.goto(url);
    return page;
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

interface Place { readonly x: number; readonly y: number }

/** As text, since this package knows no browser; not waitForFunction, whose evaluation the page's own policy forbids. */
const findCard = `name => {
  const canvas = document.querySelector('canvas');
  const map = canvas?.cirriMap;
  const card = map && [...map.geometry.cards.values()].find(each => each.id.endsWith(name));
  if (!card) return undefined;
  const { left, top } = canvas.getBoundingClientRect();
  return { x: left + map.camera.x + (card.x + card.width / 2) * map.camera.scale, y: top + map.camera.y + (card.y + card.height / 2) * map.camera.scale };
}`;
const findLine = `([from, to]) => {
  const canvas = document.querySelector('canvas');
  const map = canvas?.cirriMap;
  const curve = map?.geometry.curves.find(({ pair }) => pair.source.endsWith(from) && pair.destination.endsWith(to));
  if (!curve) return undefined;
  const [x0, y0, x1, y1, x2, y2, x3, y3] = curve.points;
  const { left, top } = canvas.getBoundingClientRect();
  const cards = [...map.geometry.cards.values()];
  for (const t of [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.12, 0.88]) {
    const [a, b, c, d] = [(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t ** 3];
    const [x, y] = [a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3];
    if (cards.some(card => x > card.x - 4 && x < card.x + card.width + 4 && y > card.y - 4 && y < card.y + card.height + 4)) continue;
    return { x: left + map.camera.x + x * map.camera.scale, y: top + map.camera.y + y * map.camera.scale };
  }
}`;

/** Where a node's card is on the page, as the map itself has it. */
export function cardAt(page: Page, name: string): Promise<Place> {
  return until(`the map shows ${name}`, () => page.evaluate<Place | undefined>(`(${findCard})(${JSON.stringify(name)})`));
}

/** A place on the line between two nodes, near its middle, where no card lies over it. */
export function lineAt(page: Page, from: string, to: string): Promise<Place> {
  return until(`the map shows a line from ${from} to ${to}`, () => page.evaluate<Place | undefined>(`(${findLine})(${JSON.stringify([from, to])})`));
}

/** The first answer that is one. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>, timeoutMs = 20_000): Promise<T> {
  return waitFor(what, ask, { timeoutMs, everyMs: 50 });
}
