// Dialogs that are called off, saves that come too late, and ids that have a
// meaning in addresses.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { open, populate, start, until } from './stand.mjs'

const VIEWS = new URL('../../dashboard/views/', import.meta.url)
const ODD = 'a/b?c#d%e&f+g h'

let stand, development, commit

before(async () => {
  stand = await start()
  development = (await populate(stand)).development
  commit = (await stand.api('GET', '/commits')).items[0].id
  await stand.api('PATCH', '/sources/web-shop/environments/production', { signing_secret: 'secret' })
  await stand.api('POST', '/commits/publish', { to: 'production',
    resource: { type: 'workflow', key: 'new-comment' } })
})

after(() => stand?.stop())

// A page that notes what it asks the API to change; the preview changes nothing.
async function noting() {
  const page = await stand.page()

  page.writes = []
  page.on('request', (request) => {
    const { pathname } = new URL(request.url())

    if (request.method() !== 'GET' && !pathname.endsWith('/preview')) page.writes.push(`${request.method()} ${pathname}`)
  })

  return page
}

const press = (page, name) => page.getByRole('button', { name, exact: true }).click()

async function production(page) {
  await page.getByLabel('Environment', { exact: true }).selectOption('production')
  await until(page, 'production', () => document.title.includes('Production'))
}

// what there is in Redis, in an order of its own
async function everything() {
  const keys = (await stand.redis.command('KEYS', '*')).sort()

  return Promise.all(keys.map(async (key) => [key, await stand.redis.command('DUMP', key)]))
}


describe('cancel', () => {

  // each dialog that a view has: its title, and how one gets there
  const DIALOGS = [
    ['Delete “Web shop”?', '#/sources/web-shop', (page) => press(page, 'Delete source…')],
    ['Remove the secret of Production?', '#/sources/web-shop', (page) => press(page, 'Remove secret')],
    ['Give Development a new URL?', '#/sources/web-shop', (page) => press(page, 'Rotate the URL of Development')],
    ['Take “page” out of the catalogue?', '#/events?source=web-shop&event=page',
      (page) => press(page, 'Take out of the catalogue…')],
    ['Delete the mapping “comment-created”?', '#/mapping/comment-created', (page) => press(page, 'Delete mapping…')],
    ['Delete the workflow “welcome”?', '#/workflows/welcome', (page) => press(page, 'Delete workflow…')],
    ['Delete “ulla” in Development?', '#/users/ulla', (page) => press(page, 'Delete user…')],
    ['Revert this commit?', '#/commits/COMMIT', (page) => press(page, 'Revert…')],
    ['Publish to Production?', '#/commits', async (page) => {
      await page.getByRole('region', { name: 'Publish' }).getByLabel('Message').fill('All of it')
      await page.getByRole('button', { name: /^Publish (all \d+ )?to Production$/ }).click()
    }],
    ['Switch the mapping “comment-created” off in Production?', '#/mapping', async (page) => {
      await production(page)
      await page.getByRole('switch', { name: 'Mapping comment-created active in Production' }).click()
    }],
    ['Switch the workflow “new-comment” off in Production?', '#/workflows', async (page) => {
      await production(page)
      await page.getByRole('switch', { name: 'Workflow new-comment active in Production' }).click()
    }]
  ]

  test('each dialog of the views is tried', () => {
    const found = readdirSync(VIEWS).flatMap((name) => {
      const text = readFileSync(new URL(name, VIEWS), 'utf8')

      return [...text.matchAll(/\bawait (?:ask\(|confirmLive\(context)/g)]
    })

    // confirmLive() asks itself, in what two others call
    assert.equal(found.length - 1, DIALOGS.length)
  })

  for (const [title, hash, begin] of DIALOGS) {
    test(title, async () => {
      const page = await noting()
      const before = await everything()

      for (const leave of [() => press(page, 'Cancel'), () => page.keyboard.press('Escape')]) {
        await open(page, stand.dashboard, hash.replace('COMMIT', commit))
        await begin(page)

        const dialog = page.getByRole('dialog', { name: title })

        await dialog.waitFor()
        await leave()
        await dialog.waitFor({ state: 'detached' })

        // what it would ask for was asked for before the next view
        await open(page, stand.dashboard, '#/sources')
        assert.deepEqual(page.writes, [])
      }

      await page.context().close()
      assert.deepEqual(await everything(), before)
    })
  }
})


describe('a change that comes too late is told, and changes nothing', () => {
  const endpoint = '/sources/late/environments/development'
  const action = { source: 'web-shop', event: 'track/Late', type: 'workflows_trigger', workflow: 'welcome',
                   recipients: 'userId' }
  const rename = (name) => stand.api('PATCH', '/sources/late', { name })
  const set = (settings) => stand.api('PATCH', endpoint, settings)
  const card = (page) => page.getByRole('region', { name: 'Development' })

  // by what and where, what somebody else does meanwhile, what is pressed
  const LATE = [
    ['a new name', '#/sources/late', () => rename('Theirs'), async (page) => {
      await page.getByLabel('Name').fill('Ours')
      await press(page, 'Rename')
    }],
    ['the deletion of a source', '#/sources/late', () => rename('Theirs too'), async (page) => {
      await press(page, 'Delete source…')
      await page.getByRole('dialog').getByRole('button', { name: 'Delete source' }).click()
    }],
    ['a setting', '#/sources/late', () => set({ identify_enabled: true }), async (page) => {
      await page.getByRole('switch', { name: 'Receive events in Development' }).click()
    }],
    ['a secret', '#/sources/late', () => set({ signing_secret: 'theirs' }), async (page) => {
      await card(page).getByLabel('Signing secret').fill('ours')
      await card(page).getByRole('button', { name: 'Set secret' }).click()
    }],
    ['the removal of a secret', '#/sources/late', () => set({ signing_secret: 'another' }), async (page) => {
      await card(page).getByRole('button', { name: 'Remove secret' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Remove secret' }).click()
    }],
    ['a new URL', '#/sources/late', () => stand.api('POST', `${endpoint}/rotate`), async (page) => {
      await press(page, 'Rotate the URL of Development')
      await page.getByRole('dialog').getByRole('button', { name: 'Rotate URL' }).click()
    }],
    ['a workflow', '#/workflows/late', () => stand.api('PUT', '/workflows/late', { name: 'Theirs' }),
      async (page) => {
        await page.getByLabel('Name').fill('Ours')
        await press(page, 'Save workflow')
      }],
    ['the deletion of a workflow', '#/workflows/late', () => stand.api('PUT', '/workflows/late', { name: 'Again' }),
      async (page) => {
        await press(page, 'Delete workflow…')
        await page.getByRole('dialog').getByRole('button', { name: 'Delete workflow' }).click()
      }],
    ['a mapping', '#/mapping/late', () => stand.api('PUT', '/actions/late', { ...action, tenant: 'properties.a' }),
      async (page) => {
        await page.getByRole('textbox', { name: 'Tenant' }).fill('properties.b')
        await press(page, 'Save mapping')
      }],
    ['the deletion of a mapping', '#/mapping/late',
      () => stand.api('PUT', '/actions/late', { ...action, tenant: 'properties.c' }), async (page) => {
        await press(page, 'Delete mapping…')
        await page.getByRole('dialog').getByRole('button', { name: 'Delete mapping' }).click()
      }],
    ['a user', '#/users/late', () => stand.api('PUT', '/environments/development/users/late', { name: 'Theirs' }),
      async (page) => {
        await page.getByRole('textbox', { name: 'Properties' }).fill('{"name":"Ours"}')
        await press(page, 'Save properties')
      }],
    ['the deletion of a user', '#/users/late',
      () => stand.api('PUT', '/environments/development/users/late', { name: 'Theirs again' }), async (page) => {
        await press(page, 'Delete user…')
        await page.getByRole('dialog').getByRole('button', { name: 'Delete user' }).click()
      }]
  ]

  before(async () => {
    await stand.api('POST', '/sources', { key: 'late', name: 'Late' })
    await stand.api('PUT', '/workflows/late', { name: 'Late' })
    await stand.api('PUT', '/actions/late', action)
    await stand.api('PUT', '/environments/development/users/late', { name: 'Late' })
  })

  for (const [what, hash, meanwhile, ours] of LATE) {
    test(what, async () => {
      const page = await noting()

      await open(page, stand.dashboard, hash)
      await meanwhile()

      const theirs = await everything()

      await ours(page)
      await page.getByText('Somebody else has changed this since it was loaded').first().waitFor()
      assert.equal(page.writes.length, 1)
      assert.deepEqual(await everything(), theirs)
      await page.context().close()
    })
  }
})


describe(`“${ODD}” in every view`, () => {
  const event = `track/${ODD}`
  let page

  before(async () => {
    page = await stand.page()
    await stand.api('PUT', `/environments/development/users/${encodeURIComponent(ODD)}`, { name: 'Odd' })
    await stand.send(development.url, { type: 'track', event: ODD, messageId: ODD, userId: ODD,
                                        properties: { [ODD]: ODD } })
  })

  after(() => page?.context().close())

  const heading = (name) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor()
  const said = (text) => page.locator('#status').getByText(text).waitFor()

  test('an event is found, mapped, and comes to the log', async () => {
    await open(page, stand.dashboard, '#/events?source=web-shop')
    await page.getByRole('link', { name: event, exact: true }).click()
    await heading(event)
    await page.getByTitle(`Take properties.${ODD}`).last().click()
    assert.equal(await page.getByLabel('path', { exact: true }).inputValue(), `properties.${ODD}`)
    await page.getByRole('link', { name: 'Map to a workflow' }).click()
    await heading('New mapping')
    assert.equal(await page.getByLabel('Event').inputValue(), event)
    await page.getByRole('textbox', { name: 'Recipients' }).fill('userId')
    await page.getByRole('textbox', { name: 'Tenant' }).fill(`properties.${ODD}`)
    await page.locator('.chip', { hasText: `✓ ${ODD}` }).waitFor()
    await page.getByLabel('Workflow').selectOption('new-comment')
    await press(page, 'Save mapping')
    await page.getByText('Saved. Commit it').waitFor()

    const { items } = await stand.api('GET', '/actions?limit=1000')
    const { key } = items.find((action) => action.event === event)

    await stand.api('POST', '/commits', { resource: { type: 'action', key } })
    assert.equal((await stand.send(development.url, { type: 'track', event: ODD, messageId: `${ODD}2`, userId: ODD,
                                                      properties: { [ODD]: ODD } })).runs, 1)

    await open(page, stand.dashboard, `#/mapping/${key}`)
    await page.getByRole('link', { name: 'Logs' }).last().click()
    await heading('Logs')
    assert.equal(await page.getByLabel('Event or message id').inputValue(), event)

    const entry = page.locator('.entry', { hasText: '1 run' }).first()

    await entry.locator('summary').click()
    await entry.getByText(`${ODD}2`, { exact: true }).waitFor()
    await entry.getByRole('link', { name: 'Show 1 run' }).click()
    await heading('Runs')
    await page.getByRole('heading', { name: `Runs of message ${ODD}2`, exact: true }).waitFor()
    await page.getByText(`new-comment for ${ODD}`).waitFor()
  })

  test('a user is found, changed, tested with and deleted', async () => {
    await open(page, stand.dashboard, '#/users')
    await page.getByLabel('Id').first().fill(ODD)
    await press(page, 'Find')
    await heading(ODD)
    await page.getByRole('textbox', { name: 'Properties' }).fill('{"name":"Odder"}')
    await press(page, 'Save properties')
    await said(`${ODD} is changed.`)

    await page.getByRole('link', { name: 'Test with this user' }).click()
    await heading('Test runner')
    await page.getByRole('listitem').filter({ hasText: ODD }).waitFor()
    await press(page, 'Start test')
    await page.getByText('1 test run started in Development.').waitFor()

    await open(page, stand.dashboard, '#/users')
    await page.getByRole('link', { name: ODD, exact: true }).click()
    await heading(ODD)
    await press(page, 'Delete user…')
    await page.getByRole('dialog').getByRole('button', { name: 'Delete user' }).click()
    await said(`${ODD} is deleted.`)
    await open(page, stand.dashboard, `#/users/${encodeURIComponent(ODD)}`)
    await page.getByText('Nobody with this id').waitFor()
  })

  test('one is entered by hand', async () => {
    await open(page, stand.dashboard, '#/users')
    await page.getByText('Enter one by hand').click()

    const form = page.getByRole('region', { name: 'Identify a user' })

    await form.getByLabel('Id').fill(`${ODD}/`)
    await form.getByRole('button', { name: 'Identify user' }).click()
    await heading(`${ODD}/`)
  })

  test('the event is taken out of the catalogue', async () => {
    await open(page, stand.dashboard, `#/events?${new URLSearchParams({ source: 'web-shop', event })}`)
    await press(page, 'Take out of the catalogue…')
    await page.getByRole('dialog').getByRole('button', { name: 'Take out' }).click()
    await said(`“${event}” is taken out.`)
    await page.getByRole('link', { name: 'track/Comment Created' }).waitFor()
    assert.equal(await page.getByRole('link', { name: event, exact: true }).count(), 0)
  })
})

test('no error on the console, and no request elsewhere', () => {
  assert.deepEqual(stand.faults, [])
})
