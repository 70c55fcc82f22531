// Servers and what is needed to use them, for the tests in Node.

import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

// Asks a condition until it holds; throws saying what was waited for.
export async function waitFor(what, condition, seconds = 60) {
  const end = Date.now() + seconds * 1000

  while (Date.now() < end) {
    const value = await condition()
    if (value) return value
    await sleep(20)
  }

  throw new Error(`waited in vain for ${what}`)
}

// A client of Redis, one command at a time in order.
export class Redis {
  static connect(path) {
    return new Promise((resolve) => {
      const socket = connect(path)
      socket.once('error', () => resolve(null))
      socket.once('connect', () => resolve(new Redis(socket)))
    })
  }

  constructor(socket) {
    this.socket = socket
    this.buffer = Buffer.alloc(0)
    this.waiting = []

    socket.on('data', (data) => {
      this.buffer = Buffer.concat([this.buffer, data])

      for (let reply; this.waiting.length && (reply = this.parse(0)); ) {
        const { resolve, reject } = this.waiting.shift()

        this.buffer = this.buffer.subarray(reply.end)
        reply.value instanceof Error ? reject(reply.value) : resolve(reply.value)
      }
    })

    socket.on('close', () => {
      for (const { reject } of this.waiting) reject(new Error('Redis closed'))
    })
  }

  command(...args) {
    const text = args.map(String)
      .map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`)

    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.socket.write(`*${args.length}\r\n${text.join('')}`)
    })
  }

  // { value, end } of the reply at an offset, or null if it is not all there
  parse(at) {
    const eol = this.buffer.indexOf('\r\n', at)
    if (eol < 0) return null

    const type = String.fromCharCode(this.buffer[at])
    const line = this.buffer.toString('utf8', at + 1, eol)
    let end = eol + 2

    switch (type) {
      case '+': return { value: line, end }
      case ':': return { value: Number(line), end }
      case '-': return { value: new Error(line), end }

      case '$': {
        const length = Number(line)
        if (length < 0) return { value: null, end }
        if (this.buffer.length < end + length + 2) return null
        return { value: this.buffer.toString('utf8', end, end + length),
                 end: end + length + 2 }
      }

      case '*': {
        const value = []
        for (let n = Number(line); n > 0; n--) {
          const item = this.parse(end)
          if (!item) return null
          value.push(item.value)
          end = item.end
        }
        return { value, end }
      }
    }

    throw new Error(`unknown reply type ${type}`)
  }

  close() {
    this.socket.destroy()
  }
}

export function run(command, args) {
  const child = spawn(command, args, { stdio: 'ignore' })

  child.on('error', (error) => { throw error })
  process.on('exit', () => child.kill('SIGKILL'))

  return child
}

export async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return

  const ended = new Promise((resolve) => child.once('exit', resolve))
  const late = setTimeout(() => child.kill('SIGKILL'), 15000)

  child.kill('SIGTERM')
  await ended
  clearTimeout(late)
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

export function canConnect(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => { socket.destroy(); resolve(true) })
  })
}
