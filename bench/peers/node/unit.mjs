// From decoded events to what is to be done in Redis: a unit, all that one
// request does, as columns.

import { createHash, randomUUID } from 'node:crypto'
import * as crypto from 'node:crypto'

import { config } from './config.mjs'

// one call where Node has it, which is several times faster
const md5 = crypto.hash
  ? (text) => crypto.hash('md5', text)
  : (text) => createHash('md5').update(text).digest('hex')

const quote = JSON.stringify

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

// not to be set by traits or by an inline recipient
const OWN = new Set(['id', 'updated_at', 'collection'])

// An id as a string, undefined if it is none.
function idOf(value) {
  if (typeof value === 'string') {
    return value.length > 0 && value.length <= 256 && !CONTROL.test(value) ? value : undefined
  }

  return Number.isSafeInteger(value) ? String(value) : undefined
}

// The id of a parameter that is an id or an object with one, as JSON.
function reference(value) {
  const id = idOf(typeof value === 'object' && value !== null ? value.id : value)

  return id === undefined ? 'null' : quote(id)
}

function uuid(text) {
  const hex = md5(text)

  return hex.slice(0, 8) + '-' + hex.slice(8, 12) + '-' + hex.slice(12, 16) + '-'
    + hex.slice(16, 20) + '-' + hex.slice(20)
}

// A path of dotted keys as a function that goes there.
function compile(path) {
  const steps = path.split('.').map((key) => `?.[${quote(key)}]`).join('')

  return new Function('event', `return event${steps}`)
}

// event key => compiled actions
const actions = new Map()

for (const action of config.actions) {
  const list = actions.get(action.event) ?? []

  actions.set(action.event, list)
  list.push({
    key: action.key,
    path: action.recipients,
    recipients: compile(action.recipients),
    actor: compile(action.actor),
    tenant: compile(action.tenant),
    cancellationKey: compile(action.cancellation_key),
    seed: `${config.environment}\n${config.source}\n${action.key}\n`,
    head: `","workflow":${quote(action.workflow)},"environment":${quote(config.environment)}`
      + `,"source":${quote(config.source)},"event":${quote(action.event)},"message_id":`,
    middle: `,"action":${quote(action.key)},"recipient":{"collection":"$users","id":`,
  })
}

const TYPES = new Set(['track', 'identify', 'page', 'screen', 'group', 'alias'])

// the time in ms and as RFC 3339, made anew when the clock has moved
let nowMs = 0
let nowText = ''

export class Unit {
  constructor(batch) {
    const ms = Date.now()

    if (ms !== nowMs) {
      nowMs = ms
      nowText = new Date(ms).toISOString()
    }

    this.ms = ms
    this.time = nowText
    this.timeJson = `"${nowText}"`

    this.marks = [] // of each event
    this.catalogueOf = [] // of each event: index from 1, negative if it is ignored
    this.catalogue = [] // distinct event keys
    this.counts = [] // how often each was seen
    this.runs = []
    this.runEvent = []
    this.runUser = []
    this.runBare = [] // whether the user must be there already
    this.stored = [] // ids of users to be stored
    this.storedEvent = []
    this.storedTo = [] // where its fields end
    this.fields = [] // name and JSON in turn, one user after the other
    this.errors = []
    this.accepted = 0
    this.duplicates = 0
    this.ignored = 0

    // what came before in the same body
    this.seen = batch ? new Set() : null
  }

  // Adds an event, number `index` of the body.
  add(event, index) {
    if (typeof event !== 'object' || event === null || Array.isArray(event)) {
      return this.invalid(index, 'an event must be a JSON object')
    }

    let type = event.type

    if (!TYPES.has(type)) {
      type = typeof type === 'string' ? type.toLowerCase() : ''

      if (!TYPES.has(type)) {
        return this.invalid(index, '"type" is none of the six: expected "track", "identify", '
          + '"page", "screen", "group" or "alias"')
      }
    }

    const properties = event.properties

    if (properties !== undefined && (typeof properties !== 'object' || Array.isArray(properties))) {
      return this.invalid(index, '"properties" must be an object or null')
    }

    let key = type

    if (type === 'track') {
      const name = event.event

      if (typeof name !== 'string' || name === '' || name.length > 512) {
        return this.invalid(index, '"event" must be a string of 1 to 512 bytes, the name of the '
          + 'event')
      }

      key = 'track/' + name
    }

    let id = event.messageId
    let message = 'null'
    let mark

    if (typeof id === 'string' && id !== '' && id.length <= 255) {
      message = quote(id)
      mark = id + '\n' + key

      // whatever becomes of the first one, the second is its repeat
      if (this.seen?.has(mark)) {
        this.duplicates++
        return
      }
    } else {
      mark = id = randomUUID() // which nothing repeats
    }

    const number = this.marks.length + 1
    let handled = false

    if (type === 'identify' && config.identify) {
      const wrong = this.identify(event, number)

      if (typeof wrong === 'string') {
        return this.invalid(index, wrong)
      }

      handled = wrong
    }

    const list = actions.get(key)

    if (list) {
      let ok = handled

      for (const action of list) {
        const failure = this.act(action, number, event, id, message)

        if (failure) {
          this.errors.push(`{"index":${index},"action":${quote(action.key)},"code":"${failure.code}"`
            + `,"message":${quote(failure.message)}}`)
        } else {
          ok = true
        }
      }

      if (!ok) { // no mark: its retry is processed whole
        this.count(key)
        this.accepted++
        return
      }

      handled = true
    }

    const catalogue = this.count(key)

    if (handled) {
      this.accepted++
    } else {
      this.ignored++
    }

    this.seen?.add(mark)
    this.marks.push(mark)
    this.catalogueOf.push(handled ? catalogue : -catalogue)
  }

  invalid(index, message) {
    this.errors.push(`{"index":${index},"code":"invalid_event","message":${quote(message)}}`)
  }

  // Counts an event key: its index, from 1.
  count(key) {
    let at = this.catalogue.indexOf(key)

    if (at < 0) {
      at = this.catalogue.push(key) - 1
      this.counts.push(0)
    }

    this.counts[at]++

    return at + 1
  }

  // Identifies the event's user: whether there is one, or what is wrong.
  identify(event, number) {
    const traits = event.traits ?? event.context?.traits ?? {}

    if (typeof traits !== 'object' || Array.isArray(traits)) {
      return '"traits" must be an object or null'
    }

    if (event.userId === undefined || event.userId === null) {
      return false
    }

    const id = idOf(event.userId)

    if (id === undefined) {
      return '"userId" must be a string or an integer of 1 to 256 bytes without control characters'
    }

    const names = Object.keys(traits)

    if (names.length > config.maxFields) {
      return `"traits" has more than ${config.maxFields} properties: send fewer`
    }

    const fields = this.fields

    for (let i = 0; i < names.length; i++) {
      const name = names[i]
      const value = traits[name]

      if (name === 'phone') {
        if (traits.phone_number === undefined) {
          fields.push('phone_number', quote(value))
        }
      } else if (name === 'createdAt') {
        fields.push('created_at', quote(value))
      } else if (!OWN.has(name)) {
        fields.push(name, quote(value))
      }
    }

    if (traits.name === undefined && typeof traits.firstName === 'string'
      && typeof traits.lastName === 'string') {
      fields.push('name', quote(`${traits.firstName} ${traits.lastName}`))
    }

    this.store(id, number)

    return true
  }

  // Ends a user whose other fields have been added.
  store(id, number) {
    this.fields.push('id', quote(id), 'updated_at', this.timeJson)
    this.stored.push(id)
    this.storedEvent.push(number)
    this.storedTo.push(this.fields.length)
  }

  // Adds the runs of one action; { code, message } if it fails.
  act(action, number, event, id, message) {
    const recipients = action.recipients(event)

    if (recipients === undefined || recipients === null) {
      return {
        code: 'recipients_missing',
        message: 'the event has none of the action\'s "recipients", send them or change the path: '
          + action.path,
      }
    }

    const list = Array.isArray(recipients)
    const count = list ? recipients.length : 1

    if (count > config.maxRecipients) {
      return {
        code: 'too_many_recipients',
        message: `the event has ${count} recipients, the limit is ${config.maxRecipients}: send fewer`,
      }
    }

    const trigger = uuid(action.seed + id)
    const actor = reference(action.actor(event))
    const at = event.timestamp
    const head = '","trigger_id":"' + trigger + action.head + message + action.middle
    const tail = '},"actor":'
      + (actor === 'null' ? actor : '{"collection":"$users","id":' + actor + '}')
      + ',"tenant":' + reference(action.tenant(event))
      + ',"cancellation_key":' + reference(action.cancellationKey(event))
      + ',"data":' + (event.properties ? quote(event.properties) : '{}')
      + ',"timestamp":' + (typeof at === 'string' ? quote(at) : 'null')
      + ',"enqueued_at":' + this.timeJson + ',"test":false}'

    const taken = count > 1 ? new Set() : null

    for (let i = 0; i < count; i++) {
      this.recipient(list ? recipients[i] : recipients, number, trigger, head, tail, taken)
    }

    return undefined
  }

  // Adds the run of one recipient; what is none is left out.
  recipient(recipient, number, trigger, head, tail, taken) {
    const inline = typeof recipient === 'object' && recipient !== null
    const id = idOf(inline ? recipient.id : recipient)

    if (id === undefined) {
      return
    }

    if (inline) {
      if (recipient.collection !== undefined && recipient.collection !== '$users') {
        return
      }

      const names = Object.keys(recipient)

      if (names.length > config.maxFields) {
        return
      }

      for (let i = 0; i < names.length; i++) {
        if (!OWN.has(names[i])) {
          this.fields.push(names[i], quote(recipient[names[i]]))
        }
      }

      this.store(id, number)
    }

    if (taken) {
      if (taken.has(id)) {
        return
      }

      taken.add(id)
    }

    this.runs.push('{"id":"' + uuid(trigger + id) + head + quote(id) + tail)
    this.runEvent.push(number)
    this.runUser.push(id)
    this.runBare.push(!inline)
  }
}
