// The guide from creating a source to a run in production, by clicks alone.
// Only Segment's part, the events, comes from elsewhere.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { KEY, start, until } from './stand.mjs'

let stand, page, url, productionUrl, id = 0

before(async () => {
  stand = await start()
  page = await stand.page({ key: null })
})

after(() => stand?.stop())

const view = (name) => page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name }).click()
const heading = (name) => page.getByRole('heading', { level: 1, name }).waitFor()
const press = (name) => page.getByRole('button', { name, exact: true }).click()
const said = (text) => page.locator('#status').getByText(text).waitFor()
const comment = () => ({
  type: 'track', event: 'Comment Created', messageId: `m${++id}`,
  properties: { recipients: ['ulla', 'nobody'], comment: { id: 'c1' }, 'read.by': 'ulla' } })

async function environment(name) {
  await page.getByLabel('Environment', { exact: true }).selectOption({ label: name })
  await until(page, name, (name) => document.title.includes(name), name)
}

test('the key is asked for once, and a wrong one is refused', async () => {
  await page.goto(stand.dashboard)
  await page.getByLabel('API key').fill('not-the-key')
  await press('Open the dashboard')
  await page.getByText('send a valid API key').waitFor()

  await page.getByLabel('API key').fill(KEY)
  await press('Open the dashboard')
  await heading('Sources')
  await page.getByText('There is no source yet.').waitFor()

  assert.equal(await page.evaluate(() => sessionStorage.getItem('knock.key')), KEY)
  assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0)
  assert.doesNotMatch(page.url(), new RegExp(KEY))
})

test('a source is created, and each environment has its URL', async () => {
  const form = page.getByRole('region', { name: 'Create a source' })

  await form.getByLabel('Name').fill('Web shop')
  assert.equal(await form.getByLabel('Key').inputValue(), 'web-shop')
  await press('Create source')
  await heading('Web shop')

  url = await page.getByLabel('URL of Development', { exact: true }).inputValue()
  productionUrl = await page.getByLabel('URL of Production', { exact: true }).inputValue()

  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/integrations\/receive\/[0-9a-f]{32}$/)
  assert.notEqual(url, productionUrl)
  await page.getByText('Webhooks (Actions)').waitFor()

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await press('Copy URL of Development')
  await said('Copied.')
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), url)
})

test('an event appears by itself, and a value of its sample is taken into a mapping', async () => {
  await view('Events')
  await page.getByText('No event has come').waitFor()

  await stand.send(url, comment())
  await page.getByRole('link', { name: 'track/Comment Created' }).click()
  await heading('track/Comment Created')
  await press('"recipients"')
  assert.equal(await page.getByLabel('path', { exact: true }).inputValue(), 'properties.recipients')

  await press('"read.by"')
  assert.equal(await page.getByLabel('path', { exact: true }).inputValue(), 'properties["read.by"]')
})

test('a workflow is made', async () => {
  await view('Workflows')
  await page.getByRole('link', { name: 'New workflow' }).click()
  await page.getByLabel('Name').fill('New comment')
  await page.getByLabel('Definition').fill('{"steps": [}')
  await press('Save workflow')
  await page.getByText(/JSON/).first().waitFor()
  await page.getByLabel('Definition').fill('{"steps": [{"channel": "email", "weight": 2.0}]}')
  await press('Save workflow')
  await heading('New comment')
  await page.getByText('Uncommitted', { exact: true }).waitFor()

  // numbers as they were
  assert.match(await page.getByLabel('Definition').inputValue(), /"weight": 2\.0/)
})

test('a mapping shows what it resolves to while it is typed, and errors at their column', async () => {
  await view('Events')
  await page.getByRole('link', { name: 'track/Comment Created' }).click()
  await press('"recipients"')
  await press('As recipients')
  await heading('New mapping')

  const box = page.getByRole('textbox', { name: 'Recipients' })

  assert.equal(await box.inputValue(), 'properties.recipients')
  await page.locator('.chip', { hasText: '✗ ulla' }).waitFor()
  await page.getByText('0 runs from this sample in Development').waitFor()

  await box.fill('properties..recipients')
  await page.getByText('column 12: expected a key after "."').waitFor()
  assert.equal(await box.getAttribute('aria-invalid'), 'true')
  assert.equal(await page.locator('.error pre').innerText(), 'properties..recipients\n           ^')

  // the others are still resolved
  await page.getByRole('textbox', { name: 'Cancellation key' }).fill('properties.comment.id')
  await page.locator('.chip', { hasText: 'c1' }).waitFor()

  await box.fill('')
  await box.focus()
  await page.getByRole('region', { name: 'Sample' }).getByRole('button', { name: '"nobody"' }).click()
  assert.equal(await box.inputValue(), 'properties.recipients[*]')
  await page.locator('.chip', { hasText: '✗ ulla' }).waitFor()

  await page.getByLabel('Workflow').selectOption('new-comment')
  await press('Save mapping')
  await heading('comment-created')
})

test('changes are shown as a diff and committed', async () => {
  await stand.send(url, comment())
  await page.getByRole('link', { name: 'To the commit' }).click()
  await heading('Commits')

  const diff = page.getByRole('group', { name: 'Uncommitted: action comment-created' })

  await diff.getByText('+   "recipients": "properties.recipients[*]",').waitFor()

  const changes = page.getByRole('region', { name: 'Uncommitted changes (2)' })

  await changes.getByRole('button', { name: 'Commit all 2' }).click()
  await page.getByText('Say what it is for.').waitFor()
  await changes.getByLabel('Message').fill('Tell of comments')
  await changes.getByLabel('Author').fill('ada@example.com')
  await changes.getByRole('button', { name: 'Commit all 2' }).click()
  await said('2 changes committed: live in Development.')
  await page.getByText('There are none.').waitFor()
  await page.getByRole('link', { name: 'Tell of comments' }).first().waitFor()
})

test('a user is identified, and an event makes a run', async () => {
  await view('Users')
  await page.getByText('Enter one by hand').click()

  const form = page.getByRole('region', { name: 'Identify a user' })

  await form.getByLabel('Id').fill('ulla')
  await form.getByLabel('Properties').fill('{"name": "Ulla Nine", "email": "ulla@example.com"}')
  await form.getByRole('button', { name: 'Identify user' }).click()
  await heading('ulla')
  await page.getByText('Last identified').waitFor()

  assert.equal((await stand.send(url, comment())).runs, 1)

  await view('Logs')

  const entry = page.locator('.entry', { hasText: '1 left out' })

  await entry.locator('summary').click()
  await entry.getByText('nobody: not identified in this environment').waitFor()
  await entry.getByRole('link', { name: 'Show 1 run' }).click()
  await heading('Runs')
  await page.getByText('new-comment for ulla').waitFor()

  const time = page.locator('.entry time').first()

  assert.match(await time.getAttribute('datetime'), /^20\d\d-.*Z$/)
  assert.match(await time.getAttribute('title'), /Western European/)
})

test('the test runner takes existing users only', async () => {
  await view('Test runner')
  await page.getByLabel('Add a recipient').fill('nobody')
  await press('Add recipient')
  await page.getByText('Nobody with the id “nobody”').waitFor()
  await page.getByLabel('Add a recipient').fill('ulla')
  await press('Add recipient')
  await page.getByRole('listitem').filter({ hasText: 'ulla' }).waitFor()
  await page.getByText('Take the payload from a sample').click()
  await press('track/Comment Created')
  assert.match(await page.getByLabel('Payload').inputValue(), /"recipients"/)
  await press('Start test')
  await page.getByText('1 test run started in Development.').waitFor()
  await page.locator('.entry', { hasText: 'Test' }).getByText('new-comment for ulla').waitFor()
})

test('an action is switched off and on', async () => {
  const active = page.getByRole('switch', { name: 'Mapping comment-created active in Development' })

  await view('Mappings')
  await active.click()
  await said('comment-created is off in Development.')
  assert.equal((await stand.send(url, comment())).runs, 0)
  await active.click()
  await said('comment-created is on in Development.')
  assert.equal((await stand.send(url, comment())).runs, 1)
})

test('publishing shows what would change and what is missing', async () => {
  await view('Commits')

  const publish = page.getByRole('region', { name: 'Publish' })

  await publish.getByText('Published alone it does nothing').waitFor()
  await publish.getByText('has received nothing there yet').waitFor()

  await publish.getByLabel('Message').fill('Comments, in production')
  await publish.getByRole('button', { name: 'Publish only action comment-created' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Publish to Production' }).click()
  await said('Without effect for want of their workflow: comment-created.')

  await publish.getByLabel('Message').fill('And its workflow')
  await publish.getByRole('button', { name: 'Publish to Production' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Publish to Production' }).click()
  await said('1 change published to Production.')
  await page.getByText('Production has all that is live in Development.').waitFor()
})

test('production looks different, and asks before a switch', async () => {
  const colour = () => page.locator('#top').evaluate((top) => getComputedStyle(top).backgroundColor)
  const before = await colour()

  await view('Mappings')
  await environment('Production')
  await page.locator('#top').getByText('Live', { exact: true }).waitFor()
  assert.notEqual(await colour(), before)

  await page.getByRole('switch', { name: 'Mapping comment-created active in Production' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  assert.equal(await page.getByRole('switch').getAttribute('aria-checked'), 'true')
})

test('a run in production', async () => {
  await view('Users')
  await page.getByText('Nobody is identified in Production.').waitFor()
  await view('Sources')
  await page.getByRole('link', { name: 'Web shop', exact: true }).click()
  await page.getByRole('switch', { name: 'Identify users in Production' }).click()
  await said('Production: identify users is on.')

  await stand.send(productionUrl, { type: 'identify', userId: 'ulla', traits: { name: 'Ulla' } })
  assert.equal((await stand.send(productionUrl, comment())).runs, 1)

  await view('Runs')
  await page.getByText('new-comment for ulla').waitFor()
  await page.getByRole('img', { name: 'Waiting runs: 1.' }).waitFor()
})

test('a commit is reverted', async () => {
  await view('Commits')
  await page.getByRole('link', { name: 'And its workflow' }).click()
  await press('Revert…')
  await page.getByRole('dialog').getByLabel('Message').fill('Too many mails')
  await press('Revert')
  await heading('Too many mails')
  await page.getByText('-   "name": "New comment",').waitFor()
  assert.equal((await stand.send(productionUrl, comment())).runs, 0)
})

test('a signing secret is set and removed, the URL rotated', async () => {
  const card = page.getByRole('region', { name: 'Production' })

  await view('Sources')
  await page.getByRole('link', { name: 'Web shop', exact: true }).click()
  await card.getByLabel('Signing secret').fill('s3cret')
  await card.getByRole('button', { name: 'Set secret' }).click()
  await card.getByText('One is set').waitFor()
  await assert.rejects(stand.send(productionUrl, comment()), /invalid_signature/)

  await card.getByRole('button', { name: 'Remove secret' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove secret' }).click()
  await card.getByText('None is set').waitFor()

  await press('Rotate the URL of Production')
  await page.getByRole('dialog').getByRole('button', { name: 'Rotate URL' }).click()
  await said('Production has a new URL.')

  const now = await card.getByLabel('URL of Production', { exact: true }).inputValue()

  assert.notEqual(now, productionUrl)
  await assert.rejects(stand.send(productionUrl, comment()), /unknown_endpoint/)
  await stand.send(now, comment())
})

test('the key can be forgotten, and one that is no longer taken leads back', async () => {
  await page.evaluate(() => sessionStorage.setItem('knock.key', 'old'))
  await view('Events')
  await page.getByText('The key is no longer taken').waitFor()
  assert.equal(await page.evaluate(() => sessionStorage.getItem('knock.key')), null)

  await page.getByLabel('API key').fill(KEY)
  await press('Open the dashboard')
  await heading('Events')
  await press('Forget key')
  await page.getByLabel('API key').waitFor()
})

test('no error on the console, and no request elsewhere', () => {
  assert.deepEqual(stand.faults, [])
})
