// What the tests here stand on: a redis-server, an nginx with the example's
// configuration, and a browser.

import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Redis, canConnect, end, freePort, run, waitFor } from '../lib/servers.mjs'

export { waitFor }

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const MODULE = process.env.KNOCK_MODULE ?? join(ROOT, 'build/ngx_knock_module.so')

export const KEY = 'a-key-of-the-tests'

const require = createRequire(join(process.env.KNOCK_PACKAGES, 'here'))
const { chromium } = require('playwright-core')

export const AXE = require.resolve('axe-core/axe.min.js')

// Starts all three.  Gives { url, api, send, redis, page, faults, stop }.
export async function start() {
  const dir = mkdtempSync(join(tmpdir(), 'knock-dashboard-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const log = join(dir, 'error.log')
  const processes = []
  const faults = []
  let browser, redis

  chmodSync(dir, 0o755)
  writeFileSync(join(dir, 'api-keys'), createHash('sha256').update(KEY).digest('hex') + '\n')
  writeFileSync(join(dir, 'nginx.conf'), 'daemon off;\n'
    + readFileSync(join(ROOT, 'examples/nginx.conf'), 'utf8')
      .replaceAll('@USER@', process.getuid() === 0 ? 'user root;' : '')
      .replaceAll('@MODULE@', MODULE)
      .replaceAll('@RUN@', dir)
      .replaceAll('@ROOT@', ROOT)
      .replaceAll('@LISTEN@', `unix:${dir}/endpoints.sock`)
      .replaceAll('@PORT@', port))

  async function stop() {
    await browser?.close()
    redis?.close()
    for (const child of processes.reverse()) await end(child)
    rmSync(dir, { recursive: true, force: true })
  }

  async function api(method, path, body) {
    const response = await fetch(`${url}/v1${path}`, {
      method, body: body && JSON.stringify(body),
      headers: { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' }
    })
    const text = await response.text()

    if (!response.ok) throw new Error(`${method} ${path}: ${text}`)

    return text && JSON.parse(text)
  }

  try {
    const socket = join(dir, 'redis.sock')

    processes.push(run(process.env.KNOCK_REDIS_SERVER || 'redis-server', [
      '--port', '0', '--unixsocket', socket, '--unixsocketperm', '777',
      '--dir', dir, '--save', '', '--appendonly', 'no']))

    redis = await waitFor('redis-server', () => Redis.connect(socket))

    const nginx = run(process.env.KNOCK_NGINX || '/usr/sbin/nginx',
                      ['-e', log, '-p', dir, '-c', join(dir, 'nginx.conf')])

    processes.push(nginx)

    await waitFor('nginx', () => {
      if (nginx.exitCode !== null) throw new Error(readFileSync(log, 'utf8'))
      return canConnect(port)
    })
    await waitFor('the API', () => api('GET', '/environments').catch(() => null))

    browser = await chromium.launch({
      executablePath: process.env.KNOCK_CHROMIUM || '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
             '--disable-background-networking', '--disable-component-update', '--disable-sync']
    })
  } catch (error) {
    await stop()
    throw error
  }

  // A page in a context of its own, watched: what it must never do gets into
  // `faults`.
  async function page({ width = 1280, height = 800, scheme = 'light', key = KEY, zone = 'Europe/Lisbon',
                        expected = /^$/ } = {}) {
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: scheme, locale: 'en-GB', timezoneId: zone,
      reducedMotion: 'reduce' })
    const page = await context.newPage()

    page.setDefaultTimeout(30000)
    page.on('console', (message) => {
      // what the API refuses is logged by the browser itself
      if (['error', 'warning'].includes(message.type())
          && !/^Failed to load resource: the server responded with a status of 4\d\d/.test(message.text())
          && !expected.test(message.text())) {
        faults.push(`console: ${message.text()}`)
      }
    })
    page.on('pageerror', (error) => faults.push(`error: ${error.stack}`))
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== url && !request.url().startsWith('data:')) {
        faults.push(`request: ${request.url()}`)
      }
    })

    if (key) {
      await page.addInitScript((key) => sessionStorage.setItem('knock.key', key), key)
    }

    return page
  }

  return {
    url, api, redis, page, faults, stop,
    dashboard: `${url}/dashboard/`,

    // an event as Segment sends it, to the URL of an endpoint
    async send(to, event) {
      const response = await fetch(to, { method: 'POST', body: JSON.stringify(event),
                                         headers: { 'Content-Type': 'application/json' } })

      if (response.status !== 200) throw new Error(await response.text())

      return response.json()
    }
  }
}

// Shows a view and waits until it is there.
export async function open(page, dashboard, hash) {
  await page.goto(dashboard + hash)
  await page.locator('main:not([aria-busy]) h1').first().waitFor()
  await until(page, 'the view', () => !document.querySelector('[aria-busy]'))
}

// The driver's own way to wait needs eval(), which the policy refuses.
export const until = (page, what, condition, argument) =>
  waitFor(what, () => page.evaluate(condition, argument))

// A source with events, users, workflows and mappings, something live in both
// environments, something not committed, logs of every kind, and runs.
export async function populate({ api, send }) {
  const recipients = ['ulla', 'sam10', 'nobody']
  let id = 0

  await api('POST', '/sources', { key: 'web-shop', kind: 'segment', name: 'Web shop' })

  const development = await api('PATCH', '/sources/web-shop/environments/development',
                                { identify_enabled: true })
  const production = await api('GET', '/sources/web-shop/environments/production')
  const track = (event, properties, more) => ({
    type: 'track', event, messageId: `ajs-next-1722340801${String(++id).padStart(3, '0')}`, userId: 'ulla',
    timestamp: '2026-07-30T12:00:10.125Z', properties,
    context: { ip: '203.0.113.24', locale: 'en-GB', page: { path: '/docs/roadmap', title: 'Roadmap' } }, ...more })
  const comment = (list = recipients) => track('Comment Created', {
    recipients: list, commenter: { id: 'ulla', name: 'Ulla Nine' }, org: 'acme',
    comment: { id: `c${id}`, text: 'Shall we move the launch to Thursday?', 'read.by': [], version: 2 } })

  for (const [key, name, steps] of [
    ['new-comment', 'New comment', [{ channel: 'in_app' }, { channel: 'email', delay: '5m' }]],
    ['order-shipped', 'Order shipped', [{ channel: 'push' }]],
    ['welcome', 'Welcome', [{ channel: 'email' }]]]) {
    await api('PUT', `/workflows/${key}`, { name, definition: { steps } })
  }

  await api('PUT', '/actions/comment-created', {
    source: 'web-shop', event: 'track/Comment Created', type: 'workflows_trigger', workflow: 'new-comment',
    recipients: 'properties.recipients', actor: 'properties.commenter.id', tenant: 'properties.org',
    cancellation_key: 'properties.comment.id' })
  await api('PUT', '/actions/order-shipped', {
    source: 'web-shop', event: 'track/Order Shipped', type: 'workflows_trigger', workflow: 'order-shipped',
    recipients: 'properties.customer' })
  await api('POST', '/commits', { message: 'Tell of comments and orders', author: 'ada@example.com' })
  await api('POST', '/commits/publish', { to: 'production', message: 'Comments first', author: 'ada@example.com',
    resource: { type: 'action', key: 'comment-created' } })

  await api('PUT', '/workflows/new-comment', { name: 'New comment',
    definition: { steps: [{ channel: 'in_app' }, { channel: 'email', delay: '15m' }, { channel: 'sms' }] } })
  await api('PUT', '/actions/signed-up', {
    source: 'web-shop', event: 'track/Signed Up', type: 'workflows_trigger', workflow: 'welcome', recipients: 'userId' })

  await api('POST', '/environments/development/users/bulk', { users: [
    { id: 'ulla', name: 'Ulla Nine', email: 'ulla@example.com', plan: 'enterprise' },
    { id: 'sam10', name: 'Sam Ten', email: 'sam@example.com', address: { city: 'Lisbon', zip: '1100-148' } }] })

  const twice = comment(['ulla'])

  await send(development.url, twice)
  await send(development.url, twice)
  await send(development.url, comment([]))
  await send(development.url, track('Comment Created', { comment: { id: 'c0' } }))

  for (let n = 0; n < 4; n++) await send(development.url, comment())

  await send(development.url, track('Signed Up', { plan: 'pro' }))
  await send(development.url, track('Order Shipped', { customer: { id: 'kim', name: 'Kim', email: 'kim@example.com' },
                                                       order: { id: 'o-1', total: 129.5, items: [{ sku: 'A-1' }] } }))
  await send(development.url, { type: 'identify', userId: 'ravi', messageId: 'i1',
                                traits: { name: 'Ravi', email: 'ravi@example.com' } })
  await send(development.url, { type: 'page', userId: 'ulla', messageId: 'p1', name: 'Home', properties: {} })
  await send(production.url, comment())

  return { development, production, comment }
}
