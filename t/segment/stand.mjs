// What the tests here stand on: a redis-server, an nginx with the module in
// front of it, and a client for a look into Redis.

import { mkdtempSync, readFileSync, rmSync, writeFileSync, chmodSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Redis, canConnect, end, freePort, run, waitFor } from '../lib/servers.mjs'

export { waitFor }

const MODULE = process.env.KNOCK_MODULE
  ?? fileURLToPath(new URL('../../build/ngx_knock_module.so', import.meta.url))
const LIBRARY = new URL('../../redis-schema/knock.lua', import.meta.url)

// Packages are looked up where t/segment/run has installed them.
export const require = createRequire(join(process.env.KNOCK_PACKAGES, 'here'))

// Starts both servers.  `server` is text for nginx's server block, `redis`
// parameters for knock_redis.  Gives { url, redis, nginx, complaints, stop }.
export async function start({ server = '', redis: parameters = 'timeout=30s' } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'knock-segment-'))
  const port = await freePort()
  const socket = join(dir, 'redis.sock')
  const log = join(dir, 'error.log')

  chmodSync(dir, 0o755)

  writeFileSync(join(dir, 'nginx.conf'), `
    load_module ${MODULE};
    ${process.getuid() === 0 ? 'user root;' : ''}
    worker_processes 2;
    daemon off;
    error_log ${log} info;
    pid ${dir}/nginx.pid;
    events {}
    http {
      access_log ${dir}/access.log;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((name) => `${name}_temp_path ${dir}/${name};`).join('\n')}
      knock_redis unix:${socket} ${parameters};
      client_max_body_size 16m;
      server {
        listen 127.0.0.1:${port};
        location ~ ^/in/(?<token>[\\w-]+)$ { knock_webhook $token; }
        ${server}
      }
    }
  `)

  const servers = []
  let redis

  async function stop() {
    redis?.close()
    for (const server of servers.reverse()) await end(server)
    rmSync(dir, { recursive: true, force: true })
  }

  try {
    servers.push(run(process.env.KNOCK_REDIS_SERVER || 'redis-server', [
      '--port', '0', '--unixsocket', socket, '--unixsocketperm', '777',
      '--dir', dir, '--save', '', '--appendonly', 'no']))

    redis = await waitFor('redis-server', () => Redis.connect(socket))
    await redis.command('FUNCTION', 'LOAD', 'REPLACE', readFileSync(LIBRARY, 'utf8'))

    const nginx = run(process.env.KNOCK_NGINX || '/usr/sbin/nginx',
                      ['-e', log, '-p', dir, '-c', join(dir, 'nginx.conf')])

    servers.push(nginx)

    await waitFor('nginx', () => {
      if (nginx.exitCode !== null) throw new Error(readFileSync(log, 'utf8'))
      return canConnect(port)
    })
  } catch (error) {
    await stop()
    throw error
  }

  return {
    url: `http://127.0.0.1:${port}`,
    redis,
    redisServer: servers[0],
    stop,

    // The access log's lines that hold a text, n at least: a worker writes
    // them when it has answered.
    requests(text, n = 1) {
      return waitFor(`requests of ${text} in the log`, () => {
        const lines = readFileSync(join(dir, 'access.log'), 'utf8').split('\n')
          .filter((line) => line.includes(text))

        return lines.length >= n && lines
      })
    },

    // what must never be in the error log
    complaints: () => readFileSync(log, 'utf8').split('\n')
      .filter((line) => /\[alert\]|\[emerg\]|Assertion|Sanitizer|runtime error:/.test(line))
  }
}

// An empty Redis with an endpoint (token "dev"), two workflows and the actions
// that the tests use.  `endpoint` are more fields of the endpoint.
export async function seed(redis, endpoint = {}) {
  const key = (name) => `knock:{development}:${name}`
  const live = (type, name, document) => redis.command(
    'FCALL', 'knock_live_set', 3, key('version'), key('workflows'), key('actions'),
    1, type, name, JSON.stringify(document))

  await redis.command('FLUSHALL')

  // an unknown token is one where each environment is known
  await redis.command('SET', 'knock:{production}:version', 1)

  await redis.command(
    'FCALL', 'knock_endpoint_set', 2, key('version'), key('endpoints'), 1, 'segment',
    ...Object.entries({ token: 'dev', identify_enabled: 1, ...endpoint }).flat())

  await live('workflow', 'new-comment', { key: 'new-comment' })
  await live('workflow', 'welcome', { key: 'welcome' })

  await live('action', 'comment-created', {
    key: 'comment-created', source: 'segment', event: 'track/Comment Created',
    type: 'workflows_trigger', workflow: 'new-comment',
    recipients: 'properties.recipients', actor: 'properties.commenter.id',
    tenant: 'properties.org', cancellation_key: 'properties.comment.id' })

  await live('action', 'signed-up', {
    key: 'signed-up', source: 'segment', event: 'track/Signed Up',
    type: 'workflows_trigger', workflow: 'welcome', recipients: 'userId' })
}

// The runs in the list, parsed, oldest first.
export async function runs(redis) {
  const list = await redis.command('LRANGE', 'knock:{development}:runs', 0, -1)

  return list.map((text) => JSON.parse(text))
}

// A user's properties without `updated_at`, or null.
export async function user(redis, id) {
  const list = await redis.command('HGETALL', `knock:{development}:user:${id}`)
  const properties = {}

  for (let i = 0; i < list.length; i += 2) {
    properties[list[i]] = JSON.parse(list[i + 1])
  }

  if (list.length && isNaN(Date.parse(properties.updated_at))) {
    throw new Error(`updated_at of ${id}: ${properties.updated_at}`)
  }

  delete properties.updated_at

  return list.length ? properties : null
}

// How often an event was counted in the endpoint's catalogue.
export async function counted(redis, event) {
  return Number(await redis.command(
    'HGET', 'knock:{development}:catalogue_info:segment', `c${event}`))
}

// Whether nothing of any event is in Redis: no run, user, mark, catalogue, log.
export async function untouched(redis) {
  const keys = await redis.command('KEYS', '*')
  const configuration = /:(version|endpoints|workflows|actions|toggles)$/

  return keys.every((key) => configuration.test(key))
}
