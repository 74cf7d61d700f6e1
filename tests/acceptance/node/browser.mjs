// Chromium through playwright-core, driven over standard input: one JSON request a line, one JSON answer a line.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-dev-shm-usage'],
});
let context = await browser.newContext();
const pages = new Map();
let last = 0;

const operations = {
  // Opens a page and keeps what its console, its errors and its content policy say.
  async page({ url }) {
    const page = await context.newPage();
    const said = [];
    page.on('console', (message) => said.push({ kind: message.type(), text: message.text() }));
    page.on('pageerror', (error) => said.push({ kind: 'pageerror', text: String(error) }));
    await page.addInitScript(() => {
      window.policyViolations = [];
      document.addEventListener('securitypolicyviolation', (event) =>
        window.policyViolations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    const response = await page.goto(url, { waitUntil: 'load', timeout: 15000 });
    const id = ++last;
    pages.set(id, { page, said });
    return { id, status: response.status(), headers: response.headers() };
  },
  async evaluate({ id, script, argument }) {
    // The script is a function's source; it is called with the argument, and its promise awaited.
    return { value: await pages.get(id).page.evaluate(`(${script})(${JSON.stringify(argument ?? null)})`) };
  },
  async click({ id, selector }) {
    await pages.get(id).page.click(selector, { timeout: 5000 });
    return {};
  },
  async fill({ id, selector, text }) {
    await pages.get(id).page.fill(selector, text, { timeout: 5000 });
    return {};
  },
  // Forgets pages, cookies and storage: the next case is another visitor.
  async leave() {
    pages.clear();
    await context.close();
    context = await browser.newContext();
    return {};
  },
  async said({ id }) {
    return { said: pages.get(id).said, violations: await pages.get(id).page.evaluate('window.policyViolations') };
  },
};

console.log(JSON.stringify({ ready: browser.version() }));
createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { call, op, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = await operations[op](rest);
    } catch (error) {
      answer = { failed: String(error.message ?? error) };
    }
    console.log(JSON.stringify({ call, ...answer }));
  })
  .on('close', async () => {
    await browser.close();
    process.exit(0);
  });
process.on('SIGTERM', async () => {
  await browser.close();
  process.exit(0);
});
