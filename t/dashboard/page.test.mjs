// What the page is like: safe against what is in an event, accessible, quick
// with long lists.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { AXE, open, populate, start, until } from './stand.mjs'
import { VIEWS } from './views.mjs'

const MARKUP = '<img src=x onerror="document.title=\'owned\'"><b>bold</b>'
const SOME = 10000

const axe = readFileSync(AXE, 'utf8')

let stand, urls

before(async () => {
  stand = await start()
  urls = await populate(stand)
})

after(() => stand?.stop())

test('the answer has the headers that keep others out', async () => {
  const { headers } = await fetch(stand.dashboard)
  const policy = headers.get('Content-Security-Policy')

  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
                      "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) {
    assert.ok(policy.includes(part), part)
  }

  assert.doesNotMatch(policy, /unsafe|\*|http/)
  assert.equal(headers.get('X-Content-Type-Options'), 'nosniff')
  assert.equal(headers.get('Referrer-Policy'), 'no-referrer')
})

describe('accessibility', { concurrency: 2 }, () => {
  for (const width of [1280, 380]) {
    test(`no violation in light and in dark at ${width} px`, async () => {
      const page = await stand.page({ width })
      const found = []

      async function check(name) {
        await page.emulateMedia({ colorScheme: 'light' })
        found.push(...await violations(page, name))
        await page.emulateMedia({ colorScheme: 'dark' })
        found.push(...await violations(page, `${name}, dark`, COLOURS))
      }

      for (const [name, hash] of [...VIEWS, ['new mapping', '#/mapping/new'], ['new workflow', '#/workflows/new']]) {
        await open(page, stand.dashboard, hash)
        if (name === 'logs') await page.locator('.entry', { hasText: 'left out' }).first().locator('summary').click()
        if (name === 'runs') await page.locator('.entry summary').first().click()
        if (name === 'mapping') await page.locator('.chip').first().waitFor()
        if (name === 'event') await page.getByRole('button', { name: '"recipients"' }).click()
        await check(name)
      }

      // the last environment, an editor with a mistake, the menu, a dialog

      await page.getByLabel('Environment', { exact: true }).selectOption('production')
      await open(page, stand.dashboard, '#/mapping/comment-created')
      await page.getByRole('textbox', { name: 'Recipients' }).fill('a..b')
      await page.locator('.error pre').waitFor()
      if (width === 380) await page.getByRole('button', { name: 'Menu' }).click()
      await check('production, with a mistake')
      await page.getByRole('switch').first().click()
      await check('dialog')

      // states: empty, and failed

      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
      await open(page, stand.dashboard, '#/users/not-there')
      await check('empty')
      await open(page, stand.dashboard, '#/commits/not-there')
      await page.getByRole('alert').waitFor()
      await check('failed')
      await page.context().close()

      assert.deepEqual(found, [])
    })
  }

  test('a list that is being loaded can be read', async () => {
    const page = await stand.page()
    const found = []

    await open(page, stand.dashboard, '#/events?source=web-shop')
    await page.route(/\/events\?/, () => {})
    await until(page, 'the next look at the list', () => document.querySelector('.page[aria-busy]'))

    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      found.push(...await violations(page, colorScheme, COLOURS))
    }

    await page.context().close()
    assert.deepEqual(found, [])
  })

  test('the checker does find what is wrong', async () => {
    const page = await stand.page()

    await open(page, stand.dashboard, '#/sources')
    await page.evaluate(() => document.querySelector('main').append(document.createElement('input')))
    assert.match((await violations(page, 'spoilt')).join(), /spoilt: label/)
    await page.context().close()
  })

  test('no violation where the key is asked for', async () => {
    const page = await stand.page({ key: null })

    await page.goto(stand.dashboard)
    await page.getByLabel('API key').waitFor()
    assert.deepEqual(await violations(page, 'key'), [])
    await page.context().close()
  })

  test('the page is never wider than the screen at 380 px', async () => {
    const page = await stand.page({ width: 380 })
    const wide = []

    for (const [name, hash] of VIEWS) {
      await open(page, stand.dashboard, hash)
      if (await tooWide(page)) wide.push(name)
    }

    await page.getByLabel('Environment', { exact: true }).selectOption('production')
    await page.getByRole('button', { name: 'Menu' }).click()
    if (await tooWide(page)) wide.push('the top in production')

    await page.context().close()
    assert.deepEqual(wide, [])
  })

  test('the keyboard alone gets to a view, and focus goes with it', async () => {
    const page = await stand.page()

    await open(page, stand.dashboard, '#/sources')
    await page.keyboard.press('Tab')
    assert.equal(await focused(page), 'Skip to the content')

    const link = page.getByRole('navigation').getByRole('link', { name: 'Users' })

    for (let n = 0; n < 15 && await focused(page) !== 'Users'; n++) await page.keyboard.press('Tab')
    assert.equal(await focused(page), 'Users')
    assert.notEqual(await link.evaluate((a) => getComputedStyle(a).outlineStyle), 'none')

    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Users' }).waitFor()
    await until(page, 'focus', () => document.activeElement.localName === 'h1')
    assert.equal(await link.getAttribute('aria-current'), 'page')
    await page.context().close()
  })
})

const tooWide = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth)

const focused = (page) => page.evaluate(() => document.activeElement.textContent)

// rules whose verdict goes by the colours
const COLOURS = { type: 'rule', values: ['color-contrast', 'link-in-text-block'] }
const ALL = { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }

// axe gets in by the driver's own means: the policy lets no script in
async function violations(page, name, runOnly = ALL) {
  if (await page.evaluate(() => !window.axe)) await page.evaluate(axe)

  const { violations } = await page.evaluate((runOnly) =>
    window.axe.run(document, { runOnly, resultTypes: ['violations'] }), runOnly)

  const where = (nodes) => nodes.slice(0, 3).map(({ target, failureSummary }) => `${target} ${failureSummary}`)

  return violations.map(({ id, nodes }) => `${name}: ${id}: ${where(nodes).join(' | ')}`)
}

test('an error is shown, and can be tried again', async () => {
  const page = await stand.page({ expected: /ERR_FAILED/ })

  await page.route('**/v1/environments/*/users*', (route) => route.abort())
  await open(page, stand.dashboard, '#/users')
  await page.getByRole('alert').getByText('The server cannot be reached').waitFor()
  await page.unroute('**/v1/environments/*/users*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('link', { name: 'sam10' }).waitFor()
  await page.context().close()
})

test('every view says so when its part of the API fails', async () => {
  const page = await stand.page({ expected: /status of 503/ })
  const silent = []
  let asking

  // each answer names the view that asked, so that what the last one shows
  // is not taken for what this one does

  await open(page, stand.dashboard, '#/sources')
  await page.route(/\/v1\/(?!environments$)/, (route) => route.fulfill({
    status: 503, contentType: 'application/json',
    body: JSON.stringify({ error: { code: 'redis_unavailable', message: `Redis is away from ${asking}, try again` } }) }))

  for (const [name, hash] of VIEWS) {
    asking = name
    await page.evaluate((hash) => { location.hash = hash }, `${hash}${hash.includes('?') ? '&' : '?'}again=${name}`)
    await page.getByRole('alert').getByText(`Redis is away from ${name}, try again`).first().waitFor()
      .catch((error) => silent.push(`${name}: ${error.message}`))
  }

  await page.context().close()
  assert.deepEqual(silent, [])
})

test('a view that was left while it loaded takes nothing from the next one', async () => {
  const page = await stand.page()
  const title = () => page.locator('main h1').textContent()
  let answer
  const held = new Promise((resolve) => { answer = resolve })

  await page.clock.install()
  await open(page, stand.dashboard, '#/sources')
  await page.route('**/v1/environments/*/users*', async (route) => {
    await held
    await route.continue()
  })

  // the time stands still until the next one is there

  await page.clock.pauseAt(Date.now() + 60000)

  const asked = page.waitForRequest('**/v1/environments/*/users*')

  await page.evaluate(() => { location.hash = '#/users' })
  await asked
  await page.evaluate(() => { location.hash = '#/workflows' })
  await page.getByRole('link', { name: 'welcome' }).waitFor()

  // past the moment at which the first would have said that it is loading

  await page.clock.runFor(5000)
  assert.equal(await title(), 'Workflows')

  const answered = page.waitForResponse('**/v1/environments/*/users*')

  answer()
  await (await answered).finished()
  await page.clock.runFor(5000)
  assert.equal(await title(), 'Workflows')
  await page.context().close()
})

test('what is deleted and changed elsewhere', async () => {
  const page = await stand.page()
  const dialog = (name) => page.getByRole('dialog').getByRole('button', { name }).click()
  const said = (text) => page.locator('#status').getByText(text).waitFor()

  // somebody else was faster

  await open(page, stand.dashboard, '#/workflows/welcome')
  await stand.api('PUT', '/workflows/welcome', { name: 'Welcome!', definition: {} })
  await page.getByLabel('Name').fill('Hello')
  await page.getByRole('button', { name: 'Save workflow' }).click()
  await page.getByText('Somebody else has changed this since it was loaded').first().waitFor()

  // a deletion is a change to commit

  await open(page, stand.dashboard, '#/mapping/order-shipped')
  await page.getByRole('button', { name: 'Delete mapping…' }).click()
  await dialog('Delete mapping')
  await said('order-shipped is deleted.')
  await page.getByText('Deleted, uncommitted').waitFor()
  await open(page, stand.dashboard, '#/commits')
  await page.getByRole('group', { name: 'Uncommitted: action order-shipped' }).getByText('-   "key": "order-shipped",')
    .waitFor()

  const change = page.locator('.entry', { hasText: 'Mapping order-shipped' }).first()

  await page.getByLabel('Message').first().fill('No more of orders')
  await change.getByRole('button', { name: 'Commit only action order-shipped' }).click()
  await said('1 change committed')

  // a user, an event, a source

  await stand.api('PUT', '/environments/development/users/gone', { name: 'Gone' })
  await open(page, stand.dashboard, '#/users')
  await page.getByLabel('Id').first().fill('nobody-of-this-id')
  await page.getByRole('button', { name: 'Find' }).click()
  await page.getByText('Nobody with the id “nobody-of-this-id”').waitFor()
  await page.getByLabel('Id').first().fill('gone')
  await page.getByRole('button', { name: 'Find' }).click()
  await page.getByRole('button', { name: 'Delete user…' }).click()
  await dialog('Delete user')
  await said('gone is deleted.')

  await open(page, stand.dashboard, '#/events?source=web-shop&event=page')
  await page.getByRole('button', { name: 'Take out of the catalogue…' }).click()
  await dialog('Take out')
  await said('“page” is taken out.')

  await stand.api('POST', '/sources', { key: 'old', kind: 'segment', name: 'Old' })
  await open(page, stand.dashboard, '#/sources/old')
  await page.getByLabel('Name').fill('Older')
  await page.getByRole('button', { name: 'Rename' }).click()
  await page.getByRole('heading', { level: 1, name: 'Older' }).waitFor()
  await page.getByRole('button', { name: 'Delete source…' }).click()
  await dialog('Delete source')
  await said('Source “Older” deleted.')
  await page.context().close()
})

test('an environment is added, and stands in the chain', async () => {
  const page = await stand.page()

  await open(page, stand.dashboard, '#/sources')
  await page.getByText('Add an environment').click()
  await page.getByRole('region', { name: 'Environments' }).getByLabel('Key').fill('staging')
  await page.getByRole('button', { name: 'Add environment' }).click()

  const options = page.getByLabel('Environment', { exact: true }).getByRole('option')

  await options.filter({ hasText: 'staging' }).waitFor({ state: 'attached' })
  assert.deepEqual(await options.allInnerTexts(), ['Development', 'staging', 'Production'])
  await open(page, stand.dashboard, '#/commits')
  await page.getByLabel('Publish to').selectOption({ label: 'Production (from staging)' })
  await page.getByText('What is live in staging and would be in Production:').waitFor()
  await page.context().close()
})

test('logs are filtered by status and by text', async () => {
  const page = await stand.page()
  const statuses = () => page.locator('.entry .badge:first-child').allInnerTexts()

  await open(page, stand.dashboard, '#/logs?source=web-shop')
  await page.getByLabel('Status').selectOption('duplicate')
  await until(page, 'one entry', () => document.querySelectorAll('.entry').length === 1)
  assert.deepEqual(await statuses(), ['duplicate'])
  await page.getByLabel('Status').selectOption('failed')
  await until(page, 'what failed', () => document.querySelector('.entry .badge')?.textContent === 'failed')
  await page.locator('.entry summary').first().click()
  await page.getByText('the recipients resolve to nothing').first().waitFor()
  await page.getByLabel('Status').selectOption('')
  await page.getByLabel('Event or message id').fill('signed')
  await until(page, 'one entry', () => document.querySelectorAll('.entry').length === 1)
  await page.getByText('track/Signed Up').waitFor()
  await page.getByLabel('Event or message id').fill('nothing-like-it')
  await page.getByText('Nothing in the log is like that.').waitFor()
  await page.context().close()
})

test('markup in an event is text', async () => {
  const page = await stand.page()

  await stand.api('PUT', '/actions/markup', {
    source: 'web-shop', event: `track/${MARKUP}`, type: 'workflows_trigger', workflow: 'new-comment',
    recipients: 'properties.who', tenant: 'properties.tenant' })
  await stand.api('POST', '/commits', { message: MARKUP, author: MARKUP })
  await stand.send(urls.development.url, {
    type: 'track', event: MARKUP, messageId: MARKUP,
    properties: { [MARKUP]: MARKUP, tenant: MARKUP, who: [{ id: MARKUP, name: MARKUP }] } })

  for (const hash of ['#/events', '#/logs', '#/commits', '#/users', '#/runs', '#/mapping', '#/mapping/markup',
                      `#/users/${encodeURIComponent(MARKUP)}`,
                      `#/events?source=web-shop&event=${encodeURIComponent(`track/${MARKUP}`)}`]) {
    await open(page, stand.dashboard, hash)
    for (const summary of await page.locator('.entry summary').all()) {
      if ((await summary.innerText()).includes('bold')) await summary.click()
    }
    if (!hash.endsWith('/markup')) await page.getByText('<b>bold</b>').first().waitFor()
    assert.equal(await page.locator('main img, main b:text-is("bold")').count(), 0, hash)
  }

  await page.getByRole('button', { name: JSON.stringify(MARKUP) }).nth(2).click()
  assert.equal(await page.getByLabel('path', { exact: true }).inputValue(),
               `properties[${JSON.stringify(MARKUP)}]`)
  assert.doesNotMatch(await page.title(), /owned/)
  await page.context().close()
})

describe('lists of 10,000', () => {
  before(async () => {
    const { redis } = stand
    const key = (name) => `knock:{development}:${name}`
    const now = Date.now()
    const waiting = []

    await stand.api('POST', '/sources', { key: 'busy', kind: 'segment', name: 'Busy' })

    for (let n = 0; n < SOME; n++) {
      const at = new Date(now - n * 1000).toISOString()
      const event = `track/Event ${n}`

      waiting.push(
        redis.command('ZADD', key('catalogue:busy'), now - n * 1000, event),
        redis.command('HSET', key('catalogue_info:busy'), `c${event}`, n, `f${event}`, now - n * 1000,
                      `s${event}`, JSON.stringify({ type: 'track', event: `Event ${n}`, properties: { n } })),
        redis.command('HSET', key(`user:user-${n}`), 'id', `"user-${n}"`, 'name', `"User ${n}"`,
                      'updated_at', `"${at}"`),
        redis.command('XADD', key('log:busy'), `${n + 1}-0`, 's', 'i', 'v', '', 'd', JSON.stringify({
          event, message_id: `m${n}`, received_at: at, reason: 'no_action', actions: [] })),
        redis.command('RPUSH', key('runs'), JSON.stringify({
          id: `r${n}`, trigger_id: `t${n}`, workflow: 'new-comment', environment: 'development', source: 'busy',
          event, message_id: `m${n}`, action: 'a', recipient: { collection: '$users', id: `user-${n}` },
          actor: null, tenant: null, cancellation_key: null, data: {}, timestamp: null, enqueued_at: at,
          test: false })))

      if (waiting.length > 5000) await Promise.all(waiting.splice(0))
    }

    await Promise.all(waiting)
  })

  for (const [name, hash, rows, first, second] of [
    ['events', '#/events?source=busy', 'tbody tr', 'track/Event 0', 'track/Event 50'],
    ['users', '#/users', 'tbody tr', null, null],
    ['logs', '#/logs?source=busy', '.entries > li', `track/Event ${SOME - 1}`, `track/Event ${SOME - 51}`],
    ['runs', '#/runs', '.entries > li', `new-comment for user-${SOME - 1}`, `new-comment for user-${SOME - 51}`]
  ]) {
    test(`${name} are paged`, async () => {
      const page = await stand.page()

      await open(page, stand.dashboard, hash)

      const count = await page.locator(rows).count()
      const before = await page.locator(rows).first().innerText()

      assert.ok(count > 0 && count <= 50, `${count} rows`)
      assert.ok(await page.locator('main *').count() < 2000)
      if (first) assert.ok(before.includes(first), before)

      await page.getByRole('button', { name: 'Next' }).click()
      await page.getByText('Page 2').waitFor()
      assert.ok(await page.locator(rows).count() <= 50)

      const next = await page.locator(rows).first().innerText()

      assert.notEqual(next, before)
      if (second) assert.ok(next.includes(second), next)

      await page.getByRole('button', { name: 'First' }).click()
      await page.getByText('Page 1').waitFor()
      assert.equal(await page.locator(rows).first().innerText(), before)
      await page.context().close()
    })
  }

  test('a long list takes no more to be shown than a short one', async (t) => {
    const page = await stand.page()

    // the requests of a view, and its first paint: the least of three, in ms
    async function shown(source) {
      const paints = []
      let requests

      for (let n = 0; n < 3; n++) {
        await open(page, stand.dashboard, `#/events?source=${source}`)
        await page.reload()
        await page.locator('tbody tr').first().waitFor()
        await until(page, 'the paint', () => performance.getEntriesByName('first-contentful-paint').length)

        const seen = await page.evaluate(() => ({
          paint: performance.getEntriesByName('first-contentful-paint')[0].startTime,
          requests: performance.getEntriesByType('resource').length }))

        paints.push(seen.paint)
        requests = seen.requests
      }

      return { requests, paint: Math.min(...paints) }
    }

    const short = await shown('web-shop'), long = await shown('busy')

    t.diagnostic(`first contentful paint after ${Math.round(short.paint)} and ${Math.round(long.paint)} ms`)
    assert.equal(long.requests, short.requests)
    assert.ok(long.paint < 4 * short.paint, `${long.paint} ms, ${short.paint} for a short one`)
    await page.context().close()
  })
})

test('no error on the console, and no request elsewhere', () => {
  assert.deepEqual(stand.faults, [])
})
