// @segment/analytics-node, pointed at the endpoint as at Segment's own: its
// body is {"batch":[...]}.

import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'

import { counted, require, runs, seed, start, user } from './stand.mjs'

const { Analytics } = require('@segment/analytics-node')

let stand, redis

before(async () => {
  stand = await start({
    server: 'location = /v1/batch { knock_webhook dev; }'
  })
  redis = stand.redis
})

after(async () => {
  await stand?.stop()
})

beforeEach(() => seed(redis))

function client(settings) {
  const analytics = new Analytics({
    writeKey: 'gR7pXn0cT5wYbD2e', host: stand.url, path: '/in/dev', maxRetries: 0, ...settings
  })

  analytics.errors = []
  analytics.on('error', (error) => analytics.errors.push(error))

  return analytics
}

async function close(analytics) {
  await analytics.closeAndFlush({ timeout: 20000 })
  assert.deepEqual(analytics.errors, [])
}

const comment = (recipients, properties) => ({
  userId: 'u9', event: 'Comment Created',
  properties: { recipients, commenter: { id: 'lee12' }, org: 'acme', ...properties }
})

test('identify, then track, in one batch', async () => {
  const analytics = client({ flushAt: 2, path: '/in/dev?together' })
  const timestamp = new Date('2026-07-30T12:00:14.125Z')

  analytics.identify({ userId: 'sam10', traits: {
    email: 'sam@example.com', firstName: 'Sam', lastName: 'Ray', phone: '+351900',
    createdAt: new Date('2026-01-02T03:04:05Z'), plan: 'pro', tags: [], limits: {} } })
  analytics.track({ ...comment(['sam10'], { n: 1.5, list: [] }), timestamp })
  await close(analytics)

  assert.deepEqual(await user(redis, 'sam10'), {
    id: 'sam10', email: 'sam@example.com', firstName: 'Sam', lastName: 'Ray', name: 'Sam Ray',
    phone_number: '+351900', created_at: '2026-01-02T03:04:05.000Z', plan: 'pro',
    tags: [], limits: {}
  })

  const [run, ...rest] = await runs(redis)

  assert.deepEqual(rest, [])
  assert.equal(run.workflow, 'new-comment')
  assert.deepEqual(run.recipient, { collection: '$users', id: 'sam10' })
  assert.deepEqual(run.actor, { collection: '$users', id: 'lee12' })
  assert.equal(run.tenant, 'acme')
  assert.deepEqual(run.data, comment(['sam10'], { n: 1.5, list: [] }).properties)
  assert.equal(run.timestamp, timestamp.toISOString())
  assert.match(run.message_id, /^node-next-/)

  const [line, ...more] = await stand.requests('together')

  assert.deepEqual(more, [])
  assert.match(line, /"POST \/in\/dev\?together HTTP\/1\.1" 200 /)
  assert.match(line, /"analytics-node-next\/latest"/)
})

test('its own path, /v1/batch, given to an endpoint by a location', async () => {
  const analytics = client({ path: undefined })

  analytics.track(comment([{ id: 'sam10', name: 'Sam' }]))
  await close(analytics)

  assert.match((await stand.requests('/v1/batch')).join(), /"POST \/v1\/batch HTTP\/1\.1" 200 /)
  assert.deepEqual((await runs(redis)).map(({ recipient }) => recipient.id), ['sam10'])
  assert.deepEqual(await user(redis, 'sam10'), { id: 'sam10', name: 'Sam' })
})

test('all of its calls are taken', async () => {
  const analytics = client({ flushAt: 100 })

  analytics.page({ userId: 'u9', category: 'Docs', name: 'Roadmap', properties: { url: 'https://example.com/' } })
  analytics.screen({ anonymousId: 'a1', name: 'Home', properties: { n: 1 } })
  analytics.group({ userId: 'u9', groupId: 'g1', traits: { name: 'Initech' } })
  analytics.alias({ userId: 'u9', previousId: 'a1' })
  analytics.identify({ anonymousId: 'a1', traits: { name: 'nobody' } })
  analytics.identify({ userId: 'u9', traits: { name: 'Nine' } })
  analytics.track({ anonymousId: 'a1', event: 'Signed Up' })
  analytics.track({ userId: 'u9', event: 'Signed Up' })
  await close(analytics)

  for (const type of ['page', 'screen', 'group', 'alias']) {
    assert.equal(await counted(redis, type), 1, type)
  }

  assert.equal(await counted(redis, 'identify'), 2)
  assert.equal(await counted(redis, 'track/Signed Up'), 2)
  assert.deepEqual(await user(redis, 'u9'), { id: 'u9', name: 'Nine' })
  assert.deepEqual((await runs(redis)).map(({ workflow, recipient }) => [workflow, recipient.id]),
    [['welcome', 'u9']])
})

test('a thousand events in batches that are under way together', async () => {
  const analytics = client({ flushAt: 15 })
  const expected = []

  for (let i = 0; i < 1000; i++) {
    analytics.track(comment([{ id: `u${i}`, i }], { i }))
    expected.push(i)
  }

  await close(analytics)

  const list = await runs(redis)

  assert.deepEqual(list.map(({ data }) => data.i).sort((a, b) => a - b), expected)
  assert.ok(list.every(({ data, recipient }) => recipient.id === `u${data.i}`))
  assert.equal(new Set(list.map(({ id }) => id)).size, 1000)
  assert.deepEqual(await user(redis, 'u999'), { id: 'u999', i: 999 })
})

test('an event that is given up comes again with its messageId', async () => {
  const analytics = client({ flushAt: 1 })

  for (const n of [1, 2, 2, 1]) {
    analytics.track({ messageId: `m${n}`, ...comment([{ id: 'sam10', n }]) })
    await analytics.flush?.({ timeout: 5000 })
  }

  await close(analytics)

  assert.deepEqual((await runs(redis)).map(({ message_id: id }) => id).sort(), ['m1', 'm2'])
  assert.equal(await counted(redis, 'track/Comment Created'), 2)
})

test('it comes again after a 503, and each event takes effect once', async () => {
  const impatient = await start({ redis: 'timeout=300ms reconnect=20ms' })
  const analytics = client({ host: impatient.url, flushAt: 5, maxRetries: 50 })

  try {
    await seed(impatient.redis)
    impatient.redisServer.kill('SIGSTOP')

    for (let i = 0; i < 25; i++) {
      analytics.track(comment([{ id: `u${i}`, i }], { i }))
    }

    await impatient.requests(' 503 ')
    impatient.redisServer.kill('SIGCONT')

    await close(analytics)

    assert.deepEqual((await runs(impatient.redis)).map(({ data }) => data.i).sort((a, b) => a - b),
      Array.from({ length: 25 }, (_, i) => i))
    assert.equal(await counted(impatient.redis, 'track/Comment Created'), 25)
    assert.deepEqual(impatient.complaints(), [])
  } finally {
    impatient.redisServer.kill('SIGCONT')
    await impatient.stop()
  }
})

test('a refusal for good reaches the application', async () => {
  const analytics = client({ path: '/in/other', maxRetries: 0 })

  analytics.track(comment([{ id: 'sam10' }]))
  await analytics.closeAndFlush({ timeout: 5000 })

  assert.equal(analytics.errors.length, 1)
  assert.match(String(analytics.errors[0].reason), /404/)
  assert.deepEqual(await runs(redis), [])
})

test('the error log has nothing to complain of', () => {
  assert.deepEqual(stand.complaints(), [])
})
