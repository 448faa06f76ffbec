/**
 * The web UI over a live cluster: real pods, real denials, the relay's own server. `CIRRI_SCREENSHOTS=1` writes the pictures of
 * docs/ui.md. @cluster
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { eventually, TestCluster } from '../e2e/cluster.ts';
import { Browser, cardAt, lineAt, until } from './browser.ts';
import { demoNamespaces, demoYaml } from './demo.ts';

const images = join(import.meta.dirname, '../../docs/images');
const cluster = new TestCluster('u');
let browser: Browser;

before(async () => {
  await cluster.start();
  await cluster.apply(demoYaml);
  await cluster.podsReady(...demoNamespaces);
  browser = await Browser.start();
});
after(async () => {
  await browser?.close();
  await cluster.stop();
});

async function address(...flags: string[]): Promise<string> {
  const printed = await cluster.cirri('ui', '-o', 'json', ...flags);
  assert.equal(printed.code, 0, printed.stderr);
  return (JSON.parse(printed.stdout) as { url: string }).url;
}

async function open(path: string, ...flags: string[]): Promise<Page> {
  const url = new URL(await address(...flags));
  const [file, query] = path.split('?');
  url.pathname = file!;
  if (query !== undefined) url.search = query;
  return browser.open(url.href);
}

async function picture(page: Page, name: string): Promise<void> {
  if (!process.env['CIRRI_SCREENSHOTS']) return;
  mkdirSync(images, { recursive: true });
  await page.mouse.move(2, 2);
  await page.waitForLoadState('networkidle', { timeout: 1000 }).catch(() => {});
  await page.screenshot({ path: join(images, `${name}.png`) });
}

/** A flow of before the change. */
let denied: string | undefined;

const panel = (page: Page, name: string) => page.getByRole('complementary', { name });
const assertQuiet = () => assert.deepEqual([browser.foreign, browser.complaints], [[], []]);

test('a page that is opened shows the minute before, too', { timeout: 120_000 }, async () => {
  // Nobody else of theirs talks: the line is of this one connection.
  await cluster.expectAll([{ from: 'payments/ledger-db-0', to: 'shop/redis-0', port: 6379, expect: 'denied' }]);
  await eventually('the history has it', 20_000, async () => {
    const { stdout } = await cluster.cirri('flows', 'query', '--since', '1m', '--from-pod', 'payments/ledger-db-0', '--to-pod', 'shop/redis-0', '-o', 'json');
    return stdout.includes('DROPPED') ? undefined : `it says ${stdout}`;
  });
  const page = await open('/map?as=table');
  const row = page.locator('.edge-table tbody tr', { hasText: 'ledger-db' }).filter({ hasText: 'redis' });
  await row.waitFor({ timeout: 20_000 });
  assert.match((await row.innerText()).replaceAll(/\s+/g, ' '), /ledger-db .*redis .*TCP 6379/);
  assertQuiet();
  await page.close();
});

test('the map shows who talks to whom, with rates and latencies; a denied line leads to why, and to the change that allows it', { timeout: 120_000 }, async () => {
  const page = await open('/map');
  for (const [from, to] of [['/web', '/cart'], ['/cart', '/redis'], ['/checkout', '/gateway'], ['/gateway', '/ledger'], ['/ledger', '/ledger-db'], ['/prometheus', '/web'], ['/mail', '/ledger-db']] as const) await lineAt(page, from, to);
  await picture(page, 'map-light');
  const line = await lineAt(page, '/web', '/cart');
  await page.mouse.click(line.x, line.y);
  const numbers = async () => (await panel(page, 'Connection').innerText()).replaceAll(/\s+/g, ' ');
  await until('connections have been answered, and have ended', async () => /TCP 8080 .*[\d.]+ (µs|ms) /.test(await numbers()) && !/Traffic 0 B/.test(await numbers()));
  await page.keyboard.press('Escape');
  const dropped = await lineAt(page, '/mail', '/ledger-db');
  await page.mouse.click(dropped.x, dropped.y);
  await page.getByRole('button', { name: 'Why was it dropped?' }).click();
  const flow = panel(page, 'Flow');
  await flow.getByText('The smallest change that allows it').waitFor();
  const said = await flow.innerText();
  assert.match(said, /CiliumNetworkPolicy payments\/ledger-db puts the endpoint into default deny at ingress/);
  assert.match(said, /Leaving shop\/mail-\S+ allowed[\s\S]*Reaching payments\/ledger-db-0 denied/);
  assert.match(said, /Nearest rule CiliumNetworkPolicy payments\/ledger-db misses by the peer/);
  await page.setViewportSize({ width: 1440, height: 1180 });
  await picture(page, 'drop-explained');
  await page.setViewportSize({ width: 1440, height: 900 });
  // What is offered is tried: the text as it stands, applied.
  const yaml = await flow.locator('.yaml code').first().innerText();
  assert.match(yaml, /# added/);
  assert.ok(await flow.locator('.yaml .added').count() > 1);
  await cluster.apply(yaml);
  await page.goto(new URL('/flows?namespace=payments&q=shop/mail&verdict=FORWARDED', page.url()).href);
  await page.locator('.flow-row[data-flow]', { hasText: 'payments/ledger-db-0' }).first().waitFor({ timeout: 20_000 });
  assertQuiet();
  await page.close();
});

test('the table: one row a connection, a row opens all of its flow, and its label narrows the table down', { timeout: 120_000 }, async () => {
  const page = await open('/flows?namespace=shop');
  const row = page.locator('.flow-row[data-flow]', { hasText: 'redis-0' }).first();
  await row.waitFor();
  await row.click();
  const flow = panel(page, 'Flow');
  await flow.getByText('StatefulSet redis').waitFor();
  assert.match(await flow.innerText(), /Decided by\n(\n)?shop\/redis[\s\S]*Workload\n(\n)?Deployment cart/);
  await flow.locator('.label', { hasText: 'app=redis' }).click();
  await until('the label is in the address', async () => new URL(page.url()).searchParams.get('label') === 'app=redis');
  await until('every row has it', async () => {
    const rows = await page.locator('.flow-row[data-flow]').allInnerTexts();
    return rows.length > 0 && rows.every(text => text.includes('redis-0'));
  });
  await picture(page, 'flows');
  assertQuiet();
  await page.close();
});

test('policies: what rules did, what the shadow would have done, and why a cell of the matrix is what it is', { timeout: 90_000 }, async () => {
  const page = await open('/policies?policy=CiliumNetworkPolicy/shop/catalog-db');
  const packets = () => page.locator('.rules tbody tr').first().locator('td').nth(1).innerText();
  await until('the rule was hit', async () => Number((await packets()).replaceAll(',', '')) > 10);
  await picture(page, 'policies');
  await page.getByRole('button', { name: /^catalog-db-strict/ }).click();
  await until('the shadow differed', async () => /deny\s+shop\/catalog-db\s+from shop\/search\s+5432\/TCP/.test(await page.locator('.policy').innerText()));
  await page.getByRole('button', { name: 'Who may talk to whom' }).click();
  await page.getByRole('button', { name: 'shop/search to shop/catalog-db: 5432/TCP' }).waitFor();
  await page.getByRole('button', { name: 'shop/web to shop/redis: nothing' }).click();
  await panel(page, 'Why').getByText('Closed by CiliumNetworkPolicy shop/redis').waitFor();
  await panel(page, 'Why').getByText('The smallest change that allows it').waitFor();
  await picture(page, 'matrix');
  await page.reload();
  await panel(page, 'Why').getByText('Nothing is allowed.').waitFor();
  assertQuiet();
  await page.close();
});

/** A page of a session of one namespace that shows this. */
async function opened(path: string, what: (page: Page) => ReturnType<Page['locator']>): Promise<Page> {
  const page = await open(path, '-n', 'monitoring');
  await what(page).waitFor();
  return page;
}

test('a session of one namespace sees its own, and of others who they are', { timeout: 120_000 }, async () => {
  const page = await open('/map?as=table', '-n', 'monitoring');
  await page.locator('.edge-table tbody tr').first().waitFor();
  const edges = await page.locator('.edge-table tbody tr').allInnerTexts();
  assert.ok(edges.length >= 1 && edges.every(text => text.includes('monitoring/prometheus')), edges.join('\n'));
  await page.close();
  const policies = await opened('/policies', one => one.getByText('No policies in your namespaces'));
  await policies.close();
  const flows = await opened('/flows', one => one.locator('.flow-row[data-flow]').first());
  assert.ok((await flows.locator('.flow-row[data-flow]').allInnerTexts()).every(text => text.includes('monitoring/')));
  await flows.close();
  // Only now: what a page asks for without its session, it complains of.
  await browser.context.clearCookies();
  browser.complaints.length = 0;
});

test('the past: what was denied before the change is in the history, map and table as of then', { timeout: 90_000 }, async () => {
  const page = await open('/map?verdict=DROPPED&namespace=payments');
  await page.locator('.track .bar-dropped').first().waitFor({ timeout: 30_000 });
  const bar = (await page.locator('.track .bar-dropped').first().boundingBox())!;
  await page.mouse.click(bar.x + bar.width / 2, bar.y + 2);
  await until('the past is shown', async () => (await page.locator('.connection').innerText()).includes('Looking back'));
  await lineAt(page, '/mail', '/ledger-db');
  // Not what the first test had denied: that still is.
  const row = page.locator('.flow-row[data-flow]', { hasText: 'payments/ledger-db-0' }).filter({ hasText: 'shop/mail' }).first();
  await row.waitFor();
  const [from, to] = ['past-from', 'past-to'].map(name => new URL(page.url()).searchParams.get(name)!.slice(11, 19)) as [string, string];
  const times = await page.locator('.flow-row[data-flow]').evaluateAll(rows => rows.map(each => String(each.textContent).slice(0, 8)));
  // The end may be midnight.
  assert.ok(times.length > 0 && times.every(time => (from <= to ? from <= time && time <= to : from <= time || time <= to)), `${from} to ${to}: ${times.join(' ')}`);
  await row.click();
  await panel(page, 'Flow').getByText('The policies of now decide otherwise').waitFor();
  await picture(page, 'past');
  assertQuiet();
  denied = new URL(page.url()).searchParams.get('flow')!;
  await page.close();
});

test('what an open page costs the agents', { timeout: 120_000 }, async () => {
  const page = await open('/map');
  await cardAt(page, '/cart');
  const ticks = () => ['agent-node1', 'agent-node2'].map(name => {
    const fields = readFileSync(`/proc/${cluster.pidOf(name)}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  const perSecond = Number(execFileSync('getconf', ['CLK_TCK']).toString());
  const measure = async () => {
    const [start, at] = [ticks(), performance.now()];
    await new Promise(resolve => setTimeout(resolve, 8000));
    return ticks().map((now, i) => 100 * (now - start[i]!) / perSecond / ((performance.now() - at) / 1000));
  };
  const withPage = await measure();
  await page.emulateMedia({ colorScheme: 'dark' });
  await cardAt(page, '/cart');
  await picture(page, 'map-dark');
  await page.close();
  const without = await measure();
  // No limit here: a busy machine would fail it. The figure is read, and is in docs/ui.md.
  console.log(`agents' CPU with an open page ${withPage.map(share => share.toFixed(1)).join(', ')} % of a core, without ${without.map(share => share.toFixed(1)).join(', ')} %`);
});

test('a flow that no agent remembers is found in the history, and explained', { timeout: 180_000 }, async () => {
  const agents = ['agent-node1', 'agent-node2'];
  const before = agents.map(name => cluster.pidOf(name));
  for (const pid of before) process.kill(pid, 'SIGTERM');
  let said = '';
  await until('the agents have started anew', async () => {
    const status = await cluster.cirri('status');
    said = status.stdout + status.stderr;
    return status.code === 0 && agents.every((name, i) => cluster.pidOf(name) !== before[i]);
  }, 60_000).catch((error: unknown) => assert.fail(`${String(error)}\n${said}`));
  assert.doesNotMatch((await cluster.cirri('observe', '--uuid', denied!)).stdout, /ledger-db/);
  const page = await open(`/flows?flow=${denied}`);
  await panel(page, 'Flow').getByText('The policies of now decide otherwise').waitFor();
  assertQuiet();
  await page.close();
});
