// The "Webhooks (Actions)" destination of @segment/action-destinations: the
// code that Segment itself runs to send events here.

import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'

import { counted, require, runs, seed, start, untouched, user } from './stand.mjs'

const { Destination } = require('@segment/actions-core')
const { default: webhook } =
  require('@segment/action-destinations/dist/destinations/webhook')

const destination = new Destination(webhook)
let stand, redis

before(async () => {
  stand = await start()
  redis = stand.redis
})

after(async () => {
  await stand?.stop()
})

beforeEach(() => seed(redis))

// one subscription, as a customer configures it
function settings({ token = 'dev', secret, subscribe, ...mapping } = {}) {
  return {
    ...(secret === undefined ? {} : { sharedSecret: secret }),
    subscription: {
      subscribe: subscribe ?? 'type = "track" or type = "identify" or type = "page"'
        + ' or type = "screen" or type = "group" or type = "alias"',
      partnerAction: 'send',
      mapping: {
        url: `${stand.url}/in/${token}`,
        method: 'POST',
        data: { '@path': '$.' },
        ...mapping
      }
    }
  }
}

const send = (event, options) => destination.onEvent(event, settings(options))
const sendBatch = (events, options) => destination.onBatch(events, settings(options))

let number = 0

function event(type, fields) {
  const id = `ajs-next-${1722340800000 + ++number}-8f0c5a54`

  return {
    type,
    messageId: id,
    anonymousId: '8f0c5a54-3f0e-4c8e-9c0b-0d9a4be0c610',
    userId: 'u9',
    context: { ip: '203.0.113.24', library: { name: 'analytics.js', version: 'next-1.70.0' } },
    integrations: { 'Segment.io': true },
    originalTimestamp: '2026-07-30T12:00:14.104Z',
    sentAt: '2026-07-30T12:00:14.381Z',
    receivedAt: '2026-07-30T12:00:14.402Z',
    timestamp: '2026-07-30T12:00:14.125Z',
    channel: 'client',
    version: 2,
    ...fields
  }
}

const identify = (userId, traits) => event('identify', { userId, traits })

const comment = (recipients, properties) => event('track', {
  event: 'Comment Created',
  properties: {
    recipients,
    commenter: { id: 'lee12' },
    org: 'acme',
    comment: { id: 'c3', body: 'Release notes are up.' },
    ...properties
  }
})

// what the single send gives back of the response
const answer = (results) => results.at(-1).data

// the statuses of a batch, an event each
const statuses = (results) => results[0].multistatus.map(({ status }) => status)

const received = async (from = redis) => (await runs(from))
  .map(({ message_id, recipient }) => `${message_id} ${recipient.id}`)

async function refused(promise, status, code) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.response?.status, status)
    assert.equal(error.response.data.error.code, code)
    assert.ok(error.response.data.error.message.length > 10)
    return true
  })

  assert.ok(await untouched(redis), 'nothing is changed in Redis')
}

test('a single track event becomes a run with all its parameters', async () => {
  await send(identify('sam10', { name: 'Sam' }))

  const sent = comment(['sam10'])

  assert.deepEqual(answer(await send(sent)),
    { accepted: 1, duplicates: 0, ignored: 0, runs: 1, errors: [] })

  const [run, ...rest] = await runs(redis)
  const { id, trigger_id: trigger, enqueued_at: at, ...fields } = run

  assert.deepEqual(rest, [])
  assert.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.match(trigger, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 600000)
  assert.deepEqual(fields, {
    workflow: 'new-comment',
    environment: 'development',
    source: 'segment',
    event: 'track/Comment Created',
    message_id: sent.messageId,
    action: 'comment-created',
    recipient: { collection: '$users', id: 'sam10' },
    actor: { collection: '$users', id: 'lee12' },
    tenant: 'acme',
    cancellation_key: 'c3',
    data: sent.properties,
    timestamp: sent.timestamp,
    test: false
  })
})

test('a single identify event becomes a user', async () => {
  const traits = {
    email: 'sam@example.com', firstName: 'Sam', lastName: 'Ünal', phone: '+351 900 000 000',
    createdAt: '2026-01-02T03:04:05Z', avatar: 'https://example.com/s.png',
    locale: 'pt-PT', timezone: 'Europe/Lisbon',
    plan: 'pro', seats: 12, tags: [], address: { city: 'Lisboa', geo: {} }, manager: null
  }

  assert.deepEqual(answer(await send(identify('sam10', traits))),
    { accepted: 1, duplicates: 0, ignored: 0, runs: 0, errors: [] })

  const { phone, createdAt, ...same } = traits

  assert.deepEqual(await user(redis, 'sam10'),
    { id: 'sam10', ...same, name: 'Sam Ünal', phone_number: phone, created_at: createdAt })
})

for (const method of ['POST', 'PUT', 'PATCH']) {
  test(`${method}, single and batch`, async () => {
    const one = comment([{ id: 'sam10', name: 'Sam' }])
    const two = comment(['sam10'])

    const url = `${stand.url}/in/dev?by=${method}`

    await send(one, { method, url })
    assert.deepEqual(statuses(await sendBatch([two], { method, url })), [200])

    assert.deepEqual(await received(),
      [`${one.messageId} sam10`, `${two.messageId} sam10`])

    for (const line of await stand.requests(`by=${method}`, 2)) {
      assert.ok(line.includes(`"${method} /in/dev?by=${method} HTTP/1.1" 200 `), line)
      assert.ok(line.includes('"Segment (Actions)"'), line)
    }
  })
}

test('the events of a batch apply in order', async () => {
  const before = comment(['sam10'])
  const after = comment(['sam10', 'lee12', { id: 'kim7', name: 'Kim' }, { collection: 'projects', id: 'p1' }])

  const results = await sendBatch([
    before,
    identify('sam10', { name: 'Sam', plan: 'free' }),
    identify('sam10', { plan: 'pro' }),
    after,
    event('page', { name: 'Home', properties: { path: '/' } }),
    event('screen', { name: 'Home' }),
    event('group', { groupId: 'g1', traits: { name: 'Initech' } }),
    event('alias', { previousId: 'x1' })
  ])

  assert.deepEqual(statuses(results), Array(8).fill(200))

  assert.deepEqual(await received(), ['sam10', 'kim7', 'p1'].map((id) => `${after.messageId} ${id}`))
  assert.deepEqual(await user(redis, 'sam10'), { id: 'sam10', name: 'Sam', plan: 'pro' })
  assert.deepEqual(await user(redis, 'kim7'), { id: 'kim7', name: 'Kim' })
  assert.equal(await user(redis, 'lee12'), null)

  for (const type of ['page', 'screen', 'group', 'alias']) {
    assert.equal(await counted(redis, type), 1)
  }
})

test('a batch of one is an array too', async () => {
  const sent = comment([{ id: 'sam10' }])

  assert.deepEqual(statuses(await sendBatch([sent])), [200])
  assert.deepEqual(await received(), [`${sent.messageId} sam10`])
})

test('4,000 events, the most that one batch has', async () => {
  const people = Array.from({ length: 100 }, (_, i) => identify(`u${i}`, { i }))
  const comments = Array.from({ length: 3900 }, (_, i) =>
    comment([`u${i % 100}`], { text: 'é'.repeat(200) + i }))

  const results = await sendBatch([...people, ...comments], { url: `${stand.url}/in/dev?large` })

  // the sender's own second attempts would hide a failure
  assert.equal((await stand.requests('large')).length, 1)

  assert.deepEqual(new Set(statuses(results)), new Set([200]))
  assert.deepEqual(await received(), comments.map(
    ({ messageId }, i) => `${messageId} u${i % 100}`))
  assert.deepEqual((await runs(redis)).map(({ data }) => data),
    comments.map(({ properties }) => properties))
})

test('the shared secret signs single events and batches', async () => {
  const secret = 's€cret "of" the source'
  const texts = ['plain', 'čtyři 四 🦊 \u2028 \u0001 \\ " </script>', '']

  await seed(redis, { signing_secret: secret })

  for (const text of texts) {
    await send(comment([{ id: 'sam10', text }], { text }), { secret })
    assert.deepEqual(
      statuses(await sendBatch([comment(['sam10'], { text })], { secret })), [200])
    assert.deepEqual(
      statuses(await sendBatch([identify('sam10', { text }), comment(['sam10'], { text })],
                               { secret })), [200, 200])
  }

  const list = await runs(redis)

  assert.deepEqual(list.map(({ data }) => data.text),
    texts.flatMap((text) => [text, text, text]))
  assert.deepEqual(await user(redis, 'sam10'), { id: 'sam10', text: '' })
})

for (const secret of ['another', '', undefined]) {
  const what = secret === undefined ? 'no shared secret'
    : secret ? 'another shared secret' : 'an empty shared secret'

  test(`${what} is refused`, async () => {
    await seed(redis, { signing_secret: 'the one' })

    await refused(send(comment([{ id: 'sam10' }]), { secret }), 401, 'invalid_signature')
    await refused(sendBatch([identify('sam10', {}), comment(['sam10'])], { secret }),
                  401, 'invalid_signature')
  })
}

test('a signature that is not asked for is no reason to refuse', async () => {
  await send(comment([{ id: 'sam10' }]), { secret: 'extra' })
  assert.equal((await runs(redis)).length, 1)
})

test('an event sent again has no effect, whatever its batch is', async () => {
  const [a, b, c] = [comment([{ id: 'sam10', n: 1 }]), comment([{ id: 'sam10', n: 2 }]), comment(['sam10'])]

  await sendBatch([a, b])
  await sendBatch([b, a, c])
  assert.deepEqual(answer(await send(a)),
    { accepted: 0, duplicates: 1, ignored: 0, runs: 0, errors: [] })
  assert.deepEqual(statuses(await sendBatch([a, b, c])), [200, 200, 200])

  assert.deepEqual(await received(), [a, b, c].map(({ messageId }) => `${messageId} sam10`))
  assert.deepEqual(await user(redis, 'sam10'), { id: 'sam10', n: 2 })
  assert.equal(await counted(redis, 'track/Comment Created'), 3)
})

test('without a mapped event the body is empty, and the answer says where to look', async () => {
  await assert.rejects(send(comment([{ id: 'sam10' }]), { data: { '@path': '$.nothing' } }),
    (error) => {
      assert.equal(error.response.status, 400)
      assert.match(error.response.data.error.message, /mapping/)
      return true
    })

  assert.ok(await untouched(redis))
})

test('a mapping to what is no event is refused', async () => {
  await refused(send(comment([{ id: 'sam10' }]), { data: { '@path': '$.properties' } }),
                400, 'invalid_event')
})

test('a mapping may build the event', async () => {
  const sent = comment([{ id: 'sam10' }])

  await send(sent, {
    data: {
      type: 'track',
      event: 'Signed Up',
      messageId: { '@path': '$.messageId' },
      userId: { '@template': '{{properties.recipients.0.id}}' },
      properties: { note: { '@template': 'by {{properties.commenter.id}}' } }
    }
  })

  // the user is not known yet
  assert.deepEqual(await runs(redis), [])

  const next = comment([{ id: 'sam10' }])

  await send(next)
  await send(sent, {
    data: { type: 'track', event: 'Signed Up', userId: 'sam10', properties: { n: 1 } }
  })

  const list = await runs(redis)

  assert.deepEqual(list.map(({ workflow, message_id, data }) => ({ workflow, message_id, data })), [
    { workflow: 'new-comment', message_id: next.messageId, data: next.properties },
    { workflow: 'welcome', message_id: null, data: { n: 1 } }
  ])
})

test('a bad event among good ones does not hold them up', async () => {
  const [good, bad] = [comment([{ id: 'sam10' }]), comment([{ id: 'sam10' }])]

  bad.type = 'track'
  bad.event = ''

  assert.deepEqual(statuses(await sendBatch([bad, good])), [200, 200])
  assert.deepEqual(await received(), [`${good.messageId} sam10`])

  bad.event = 'Comment Created'
  await sendBatch([bad, good])
  assert.deepEqual(await received(), [good, bad].map(({ messageId }) => `${messageId} sam10`))
})

test('headers of a customer come along', async () => {
  await send(comment([{ id: 'sam10' }]),
             { headers: { authorization: 'Bearer x', 'x-source': 'web' } })
  assert.equal((await runs(redis)).length, 1)
})

test('an unknown token, a disabled endpoint', async () => {
  await refused(send(comment([{ id: 'sam10' }]), { token: 'other' }), 404, 'unknown_endpoint')
  await refused(sendBatch([comment([{ id: 'sam10' }])], { token: 'other' }), 404, 'unknown_endpoint')

  await seed(redis, { enabled: 0 })
  await refused(send(comment([{ id: 'sam10' }])), 403, 'endpoint_disabled')
})

test('while Redis does not answer it is told to come again, and that does it', async () => {
  const impatient = await start({ redis: 'timeout=300ms reconnect=20ms' })
  const url = `${impatient.url}/in/dev`
  const sent = [comment([{ id: 'sam10', n: 1 }]), comment([{ id: 'kim7', n: 1 }])]

  try {
    await seed(impatient.redis)
    impatient.redisServer.kill('SIGSTOP')

    await assert.rejects(sendBatch(sent, { url }), (error) => {
      assert.equal(error.response.status, 503)
      assert.ok(Number(error.response.headers.get('retry-after')) >= 1)
      return true
    })

    impatient.redisServer.kill('SIGCONT')

    // what was under way may have been applied or not

    assert.deepEqual(statuses(await retried(() => sendBatch(sent, { url }))), [200, 200])
    assert.deepEqual(statuses(await retried(() => sendBatch(sent, { url }))), [200, 200])

    assert.deepEqual(await received(impatient.redis),
      [`${sent[0].messageId} sam10`, `${sent[1].messageId} kim7`])
    assert.equal(await counted(impatient.redis, 'track/Comment Created'), 2)
    assert.deepEqual(impatient.complaints(), [])
  } finally {
    impatient.redisServer.kill('SIGCONT')
    await impatient.stop()
  }
})

test('the error log has nothing to complain of', () => {
  assert.deepEqual(stand.complaints(), [])
})

// until it is taken, as Segment does for hours
async function retried(send) {
  for (let tries = 100; ; tries--) {
    try {
      return await send()
    } catch (error) {
      if (error.response?.status !== 503 || tries === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
