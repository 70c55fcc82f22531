// The peer in Node: fastify, and ioredis with auto-pipelining.
//
//   node server.mjs --port N --redis /path/of/socket
//        [--host ADDRESS] [--token TOKEN] [--pipelining auto|turn]
//
// KNOCK_PEER_PORT, KNOCK_PEER_REDIS, KNOCK_PEER_HOST, KNOCK_PEER_TOKEN and
// KNOCK_PEER_PIPELINING do the same.  KNOCK_PACKAGES is where the packages
// have been installed, the folder of this file unless said.
//
// The pipelining is ioredis's own, or all of one turn of the event loop in one
// write, which is less work.

import { isAscii } from 'node:buffer'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { config } from './config.mjs'
import { Store, TurnStore } from './store.mjs'
import { Unit } from './unit.mjs'

const require = createRequire(join(
  process.env.KNOCK_PACKAGES ?? fileURLToPath(new URL('.', import.meta.url)), 'here'))
const fastify = require('fastify')
const { Command, Redis } = require('ioredis')

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: process.env.KNOCK_PEER_HOST ?? '127.0.0.1' },
    port: { type: 'string', default: process.env.KNOCK_PEER_PORT },
    redis: { type: 'string', default: process.env.KNOCK_PEER_REDIS },
    pipelining: { type: 'string', default: process.env.KNOCK_PEER_PIPELINING ?? 'auto' },
    token: { type: 'string', default: process.env.KNOCK_PEER_TOKEN ?? 'segment-development' },
  },
})

if (!options.port || !options.redis) {
  console.error('no port or no Redis: say --port N --redis /path/of/socket')
  process.exit(2)
}

if (!['auto', 'turn'].includes(options.pipelining)) {
  console.error(`there is no pipelining "${options.pipelining}": say auto or turn`)
  process.exit(2)
}

const redis = new Redis({
  path: options.redis,
  enableAutoPipelining: options.pipelining === 'auto',
  enableOfflineQueue: false, // without Redis the answer is 503, at once
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  socketTimeout: config.timeout,
  retryStrategy: (times) => Math.min(times * 50, 1000),
})

const store = options.pipelining === 'auto' ? new Store(redis) : new TurnStore(redis, Command)

redis.on('error', (error) => {
  console.error(`Redis at ${options.redis}: ${error.message}`)
})

const app = fastify({
  bodyLimit: 16 * 1024 * 1024,
  keepAliveTimeout: 60000,
  requestTimeout: 60000,
})

// A body of ASCII alone, as most are, is a string without being decoded.

app.removeAllContentTypeParsers()
app.addContentTypeParser(['application/json', '*'], { parseAs: 'buffer' }, (request, body, done) => {
  let value

  try {
    value = JSON.parse(isAscii(body) ? body.latin1Slice() : body.utf8Slice())
  } catch (error) {
    error.statusCode = 400
    done(error)
    return
  }

  done(null, value)
})

const ACCEPTED = [0, 1].map((runs) =>
  `{"accepted":1,"duplicates":0,"ignored":0,"runs":${runs},"errors":[]}\n`)

// The answer goes to the socket without fastify's hooks, of which none is set.
function send(reply, status, text, retry) {
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  }

  if (retry) {
    headers['retry-after'] = '1'
  }

  reply.raw.writeHead(status, headers)
  reply.raw.end(text)
}

function refuse(reply, status, code, message, retry) {
  send(reply, status, `{"error":{"code":"${code}","message":${JSON.stringify(message)}}}\n`, retry)
}

app.setErrorHandler((error, request, reply) => {
  const status = error.statusCode ?? 500
  const code = status === 400 ? 'invalid_json' : status === 413 ? 'body_too_large' : 'internal'

  reply.hijack()
  refuse(reply, status, code, `the body was not taken: ${error.message}`)
})

app.setNotFoundHandler((request, reply) => {
  reply.hijack()
  refuse(reply, 404, 'unknown_endpoint',
    'there is no endpoint with this token: take the URL from the source')
})

app.post(`/integrations/receive/${options.token}`, (request, reply) => {
  const body = request.body

  reply.hijack()

  if (typeof body !== 'object' || body === null) {
    refuse(reply, 400, 'invalid_json',
      'the body is no JSON object or array: in the destination, look at the mapping')
    return
  }

  const events = Array.isArray(body) ? body
    : body.type === undefined && Array.isArray(body.batch) ? body.batch : null
  const unit = new Unit(events !== null)

  if (events === null) {
    unit.add(body, 0)
  } else {
    if (events.length > config.maxBatch) {
      refuse(reply, 413, 'batch_too_large', `the batch has ${events.length} events, the limit is `
        + `${config.maxBatch}: send smaller ones`)
      return
    }

    for (let i = 0; i < events.length; i++) {
      unit.add(events[i], i)
    }
  }

  if (unit.accepted + unit.duplicates + unit.ignored === 0) {
    send(reply, 400, '{"error":{"code":"invalid_event","message":"no event of the body is valid: see '
      + `errors"},"errors":[${unit.errors.join(',')}]}\n`)
    return
  }

  store.apply(unit, (error, runs, repeated, repeatedIgnored) => {
    if (error) {
      console.error(`Redis at ${options.redis}: ${error.message}`)
      refuse(reply, 503, 'redis_unavailable',
        'Redis did not apply the event, nothing has been changed: send it again', true)
      return
    }

    if (runs <= 1 && repeated === 0 && unit.accepted === 1 && unit.duplicates === 0
      && unit.ignored === 0 && unit.errors.length === 0) {
      send(reply, 200, ACCEPTED[runs])
      return
    }

    // of one event it is known which it was
    repeatedIgnored ??= unit.ignored > 0 ? repeated : 0

    send(reply, 200, `{"accepted":${unit.accepted - (repeated - repeatedIgnored)},`
      + `"duplicates":${unit.duplicates + repeated},"ignored":${unit.ignored - repeatedIgnored},`
      + `"runs":${runs},"errors":[${unit.errors.join(',')}]}\n`)
  })
})

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    app.server.closeIdleConnections()
    app.close().then(() => process.exit(0))
    setTimeout(() => process.exit(0), 1000).unref()
  })
}

await new Promise((resolve) => { redis.once('ready', resolve) })
await app.listen({ host: options.host, port: Number(options.port) })
