// From a unit to Redis: one EVALSHA, and what it answers.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { config } from './config.mjs'

const BUCKET = 86400000 // ms: marks are kept for one to two days

const base = `${config.prefix}:{${config.environment}}:`
const RUNS = base + 'runs'
const USER = base + 'user:'
const CATALOGUE = `${base}catalogue:${config.source}:`

function script(name) {
  const text = readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')

  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

const ONE = script('apply-one.lua')
const MANY = script('apply-many.lua')

export class Store {
  constructor(redis) {
    this.redis = redis
    this.day = 0
    this.marks = ''
    this.marksBefore = ''
    this.seen = new Map() // event key => ms when Redis was last told of it
  }

  // Applies the unit and calls done(error, runs, duplicates, duplicates of
  // ignored events).
  apply(unit, done) {
    const day = Math.floor(unit.ms / BUCKET)

    if (day !== this.day) {
      this.day = day
      this.marks = `${base}marks:${day}`
      this.marksBefore = `${base}marks:${day - 1}`
    }

    const one = isOne(unit)
    const used = one ? ONE : MANY
    const args = one ? this.argumentsOfOne(unit) : this.argumentsOfMany(unit)

    // Of the methods that ioredis makes of a script, each pipeline's first
    // call sends the whole text: the hash alone is cheaper.

    args[0] = used.sha

    this.evalsha(args, (error, answer) => {
      if (error?.message.startsWith('NOSCRIPT')) {
        args[0] = used.text
        this.redis.eval(args, (error, answer) => finish(one, error, answer, done))
        return
      }

      finish(one, error, answer, done)
    })
  }

  evalsha(args, done) {
    this.redis.evalsha(args, done)
  }

  // When an event key was last seen goes to Redis once a ms.
  timeSeen(key, ms) {
    if (this.seen.get(key) === ms) {
      return ''
    }

    if (this.seen.size >= 4096) {
      this.seen.clear()
    }

    this.seen.set(key, ms)

    return String(ms)
  }

  argumentsOfOne(unit) {
    const key = unit.catalogue[0]
    const user = unit.runs.length ? unit.runUser[0] : unit.stored[0]
    const time = this.timeSeen(key, unit.ms)

    if (user === undefined) {
      return ['', '4', RUNS, this.marks, this.marksBefore, CATALOGUE + key, unit.marks[0], time]
    }

    const args = ['', '5', RUNS, this.marks, this.marksBefore, CATALOGUE + key, USER + user,
      unit.marks[0], time, unit.runs.length ? unit.runs[0] : '']

    for (let i = 0; i < unit.fields.length; i++) {
      args.push(unit.fields[i])
    }

    return args
  }

  argumentsOfMany(unit) {
    const ncatalogue = unit.catalogue.length
    const args = ['', '', RUNS, this.marks, this.marksBefore]

    for (const key of unit.catalogue) {
      args.push(CATALOGUE + key)
    }

    // who must be there, each once

    const index = new Map()
    let runOf = ''

    for (let i = 0; i < unit.runs.length; i++) {
      let at = 0

      if (unit.runBare[i]) {
        at = index.get(unit.runUser[i])

        if (at === undefined) {
          at = 4 + ncatalogue + index.size
          index.set(unit.runUser[i], at)
          args.push(USER + unit.runUser[i])
        }
      }

      runOf += unit.runEvent[i] + ',' + at + ','
    }

    for (let i = 0; i < unit.stored.length; i++) {
      args.push(USER + unit.stored[i])
    }

    args[1] = String(args.length - 2)

    args.push(String(ncatalogue), String(index.size), String(unit.marks.length),
      String(unit.runs.length), String(unit.stored.length), String(unit.ms),
      list(unit.catalogueOf), runOf, list(unit.storedEvent), list(unit.counts))

    for (let i = 0; i < unit.marks.length; i++) {
      args.push(unit.marks[i])
    }

    for (let i = 0; i < unit.runs.length; i++) {
      args.push(unit.runs[i])
    }

    let from = 0

    for (const to of unit.storedTo) {
      args.push(String(to - from))

      for (; from < to; from++) {
        args.push(unit.fields[from])
      }
    }

    return args
  }
}

// The calls of one turn of the event loop are written at once, and do not wait
// for the answers to those before, as ioredis's own pipelines do; nor has each
// a pipeline's promises.
export class TurnStore extends Store {
  constructor(redis, Command) {
    super(redis)
    this.Command = Command
    this.corked = false
  }

  evalsha(args, done) {
    const stream = this.redis.stream

    if (!this.corked && stream) {
      this.corked = true
      stream.cork()

      setImmediate(() => {
        this.corked = false
        stream.uncork()
      })
    }

    this.redis.sendCommand(new this.Command('evalsha', args, undefined, done))
  }
}

// Whether all of the unit concerns one user, or none, and one event.
function isOne(unit) {
  const nruns = unit.runs.length
  const nstored = unit.stored.length

  return unit.marks.length === 1 && unit.counts.length === 1 && unit.counts[0] === 1
    && (nruns + nstored <= 1
      || nruns === 1 && nstored === 1 && unit.runUser[0] === unit.stored[0])
}

function list(numbers) {
  return numbers.length ? numbers.join(',') + ',' : ''
}

function finish(one, error, answer, done) {
  if (error) {
    done(error)
  } else if (typeof answer !== 'number') {
    done(undefined, answer[0], answer[1], answer[2])
  } else if (answer < 0) {
    done(undefined, 0, 1, undefined)
  } else {
    done(undefined, answer, 0, one ? undefined : 0)
  }
}
