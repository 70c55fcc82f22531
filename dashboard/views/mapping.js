// Mappings: the actions of the API.  What a path resolves to is asked of the
// API's preview as one types; nothing of it is computed here.

import { call, find, get, parse, patch, path, put, remove } from '../api.js'
import { address, ask, badge, button, card, doing, empty, field, form, h, head, id, json, link, note, paged, pathOf,
         plural, pretty, say, select, submit, table, toggle } from '../ui.js'
import { documentOf, draftBadges, draftsAndLive, keyOf, same, who, why } from '../resources.js'

export const view = (context) => context.part ? editor(context) : list(context)

// in production a switch is asked about
export async function confirmLive(context, what) {
  return !context.isProduction || await ask({
    title: `${what} in ${context.environmentName}?`, confirm: what, danger: true,
    text: 'It governs every event that is received from then on.' })
}

async function list(context) {
  const actions = paged({
    label: 'Mappings',
    load: (cursor) => draftsAndLive('actions', context.environment, 50, cursor),
    none: () => empty('There is no mapping yet.',
      h('p', null, 'A mapping says which workflow an event starts, and for whom.'),
      link('Choose an event', '#/events', { class: 'button' })),
    render: (items, { deletions }) => table('Mappings', [
      { name: 'Mapping', cell: ({ key }) => link(key, address('mapping', key), { 'data-keep': key }) },
      { name: 'Event', cell: ({ draft, live }) => (draft ?? live).event },
      { name: 'Workflow', cell: ({ draft, live }) => [(draft ?? live).workflow, ' ',
        live && !live.workflow_live && badge('Workflow is not live', 'bad'),
        live?.workflow_live && !live.workflow_active && badge('Workflow is off', 'warn')] },
      { name: 'State', cell: (row) => draftBadges(row, deletions, context) },
      { name: `Active in ${context.environmentName}`, cell: ({ key, live }) => activeToggle(context, key, live) }
    ], items)
  })

  await actions.first

  return [
    head('Mappings', 'Which workflow an event starts, and for whom.',
      link('New mapping', address('mapping', 'new'), { class: 'button primary' })),
    card('All mappings', actions.node)
  ]
}

function activeToggle(context, key, live) {
  if (!live) return h('span', { class: 'quiet' }, 'not live')

  return toggle(`Mapping ${key} active in ${context.environmentName}`, live.active, async (active) => {
    if (!await confirmLive(context, `Switch the mapping “${key}” ${active ? 'on' : 'off'}`)) return false
    await patch(path`/environments/${context.environment}/actions/${key}`, { active })
    say(`${key} is ${active ? 'on' : 'off'} in ${context.environmentName}.`)
  }, { 'data-keep': `toggle-${key}` })
}


const PARAMETERS = [
  ['recipients', 'Recipients', 'Who gets a run: ids of identified users, or objects with an id.'],
  ['actor', 'Actor', 'Who did it: an id or an object. May be empty.'],
  ['tenant', 'Tenant', 'An id or an object with one. May be empty.'],
  ['cancellation_key', 'Cancellation key', 'By which a run can be called off later. May be empty.']
]

async function editor(context) {
  const { environment, environments } = context
  const fresh = context.part === 'new'
  const [draft, live, sources, workflows] = await Promise.all([
    fresh ? null : find(path`/actions/${context.part}`),
    fresh ? null : find(path`/environments/${environment}/actions/${context.part}`),
    get('/sources', { limit: 1000 }), get('/workflows', { limit: 1000 })])

  if (!fresh && !draft && !live) {
    return [head(context.part), empty('There is no such mapping.', link('All mappings', '#/mapping'))]
  }

  if (!sources.items.length) {
    return [head('New mapping'), empty('There is no source yet, so there are no events to map.',
                                       link('Create a source', '#/sources', { class: 'button primary' }))]
  }

  const saved = documentOf(draft ?? live) ?? {}
  const start = { ...saved }

  for (const name of ['source', 'event', ...PARAMETERS.map(([key]) => key)]) {
    if (context.query.get(name)) start[name] = context.query.get(name)
  }

  // a path that was taken joins those there are
  if (Array.isArray(saved.recipients) && typeof start.recipients === 'string') {
    start.recipients = [...saved.recipients, start.recipients]
  }

  const taken = PARAMETERS.some(([name]) => context.query.get(name))
  const list = id('events')
  const key = field('Key', h('input', { type: 'text', maxlength: 64, spellcheck: 'false',
    value: fresh ? keyOf((start.event ?? '').replace('track/', '')) : context.part, disabled: !fresh }),
    fresh ? 'Letters, digits, - and _. It cannot be changed later.' : null)
  const source = field('Source', select(sources.items.map(({ key, name }) => [key, name]),
                                        start.source ?? sources.items[0].key))
  const events = h('datalist', { id: list })
  const event = field('Event', h('input', { type: 'text', list, spellcheck: 'false', value: start.event ?? '' }),
                      'track/ and the name, or identify, page, screen, group, alias.')
  const names = workflows.items.map(({ key, name }) => [key, name && name !== key ? `${name} (${key})` : key])

  if (start.workflow && !names.some(([key]) => key === start.workflow)) {
    names.push([start.workflow, `${start.workflow} (is not there)`])
  }

  const workflow = field('Workflow', select([['', 'Choose a workflow'], ...names], start.workflow ?? ''))
  const parameters = PARAMETERS.map(([name, title, hint]) => parameter(name, title, hint, start[name] ?? null))
  const sampleBox = h('div')
  const verdict = h('div', { class: 'verdict', 'aria-live': 'polite' })
  const into = h('p', { class: 'quiet' })
  let target = parameters[0], sample = null, controller, timer, seen = []

  const document = () => ({
    source: source.control.value, event: event.control.value, type: 'workflows_trigger',
    workflow: workflow.control.value,
    ...Object.fromEntries(parameters.map(({ name, value }) => [name, value()]))
  })

  // the sample

  async function loadEvents() {
    const url = path`/sources/${source.control.value}/environments/${environment}/events`

    seen = (await get(url, { limit: 100 })).items
    events.replaceChildren(...seen.map(({ event }) => h('option', { value: event })))
    useSample()
  }

  function useSample() {
    const found = seen.find((item) => item.event === event.control.value)

    if (found?.sample && same(found.sample, sample)) return schedule()

    sample = found?.sample ?? null
    showSample(found)
    schedule()
  }

  function showSample(found) {
    const text = h('textarea', { class: 'mono', rows: 10, spellcheck: 'false' })
    const own = field('A sample of your own', text, 'An event as Segment sends it; nothing is changed by it.')

    sampleBox.replaceChildren(
      found ? h('p', null, 'Last one of ', h('b', null, found.event), ` in ${context.environmentName}`)
        : h('p', { class: 'quiet' }, event.control.value
          ? `“${event.control.value}” has not been seen in ${context.environmentName}. `
            + 'Give a sample to see what it resolves to.'
          : 'Choose an event to see its last sample.'),
      sample ? h('div', null, into, json(sample, pick)) : '',
      h('details', { 'data-keep': 'own' }, h('summary', null, 'Use another sample'), own.node,
        button('Use it', () => {
          own.fail(null)

          try {
            sample = parse(text.value)
            showSample(null)
            schedule()
          } catch (error) {
            own.fail(error.message)
          }
        })))

    text.value = sample ? pretty(sample) : pretty({ type: 'track',
      event: event.control.value.replace(/^track\//, '') || 'Signed Up', userId: 'u1', properties: {} })
    aim(target)
  }

  function pick(at) {
    const every = target.name === 'recipients' && at.some((part) => typeof part === 'number')

    target.take(every ? pathOf(at, true) : pathOf(at))
    schedule()
    say(`${target.title}: ${every ? pathOf(at, true) : pathOf(at)}`)
  }

  function aim(parameter) {
    target = parameter
    into.textContent = `What you choose goes to: ${target.title}`
    for (const each of parameters) each.node.classList.toggle('aimed', each === target)
  }

  // the preview

  function schedule() {
    clearTimeout(timer)
    timer = setTimeout(() => preview().catch(() => {}), 250)
  }

  async function preview() {
    controller?.abort()
    controller = new AbortController()

    const { signal } = controller
    const action = document()
    const errors = new Map()
    let answer = null, other = null

    for (const each of parameters) each.shown.replaceChildren()

    if (!sample) {
      verdict.replaceChildren(h('p', { class: 'quiet' }, 'Without a sample there is nothing to show.'))
      return
    }

    action.workflow ||= '_'
    action.event ||= 'track/_'
    action.recipients ??= { literal: [] }

    // an error is of one field: the others are asked for without it

    for (let n = 0; n <= PARAMETERS.length && !answer && !other; n++) {
      try {
        answer = await call('POST', path`/actions/${key.control.value || 'new'}/preview`,
                            { body: { action, event: sample, environment }, signal })
      } catch (error) {
        if (error.name === 'AbortError' || signal.aborted) return

        const name = /^"(\w+)/.exec(error.message)?.[1]

        if (error.code === 'invalid_action' && PARAMETERS.some(([key]) => key === name) && !errors.has(name)) {
          errors.set(name, error.message)
          action[name] = name === 'recipients' ? { literal: [] } : null
        } else {
          other = error
        }
      }
    }

    if (context.signal.aborted) return

    for (const each of parameters) {
      each.fail(errors.get(each.name))
      if (answer && !errors.has(each.name)) each.show(answer)
    }

    verdict.replaceChildren(...(answer ? outcome(answer, errors) : [h('p', { class: 'error' }, other.message)]))
  }

  function outcome(answer, errors) {
    const said = []

    if (errors.size) {
      said.push(note('bad', `${plural(errors.size, 'field has a mistake', 'fields have mistakes')}: see there.`))
    } else {
      said.push(note(answer.runs ? 'good' : 'warn', h('p', { class: 'strong' },
        `${plural(answer.runs, 'run')} from this sample in ${context.environmentName}`)))
      if (!answer.matches) said.push(note('warn', 'The sample is not an event of this mapping.'))
      if (answer.message) said.push(note('warn', answer.message))
    }

    if (answer.identifies.length) {
      said.push(h('p', null, 'It identifies: ', answer.identifies.map(who).join(', ')))
    }

    return said
  }

  for (const each of parameters) {
    each.node.addEventListener('focusin', () => aim(each))
    each.node.addEventListener('input', schedule)
  }

  event.control.addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(useSample, 250)
  })
  workflow.control.addEventListener('change', schedule)
  source.control.addEventListener('change', () => loadEvents().catch((error) => say(error.message, 'bad')))

  await loadEvents()
  if (taken) aim(parameters.find(({ name }) => context.query.get(name)))

  async function save() {
    for (const each of [key, source, event, workflow]) each.fail(null)

    const to = fresh ? key.control.value.trim() : context.part
    const required = [[key, to, 'Give it a key.'], [event, event.control.value, 'Choose an event.'],
                      [workflow, workflow.control.value, 'Choose a workflow.']]

    for (const [each, value, message] of required) {
      if (!value) {
        each.fail(message)
        return each.control.focus()
      }
    }

    if (fresh && await find(path`/actions/${to}`)) {
      key.fail('There is a mapping with this key.')
      return key.control.focus()
    }

    try {
      await put(path`/actions/${to}`, document(), draft)
      say('Saved. Commit it to make it live.')
      context.go('mapping', to)
    } catch (error) {
      const name = /^"(\w+)/.exec(error.message)?.[1]
      const where = parameters.find((each) => each.name === name)
        ?? { source, event, workflow, key }[name]

      if (!where) throw error
      where.fail(error.message)
      where.focus ? where.focus() : where.control.focus()
    }
  }

  return [
    head(fresh ? 'New mapping' : context.part,
      fresh ? null : [draft?.uncommitted && badge('Uncommitted', 'warn'), ' ',
                      live ? badge(`Live in ${context.environmentName}`, 'good')
                        : badge(`Not live in ${context.environmentName}`)],
      link('All mappings', '#/mapping', { class: 'button' }),
      !fresh && link('Logs', address('logs', '', { source: saved.source, find: saved.event }), { class: 'button' })),
    draft?.uncommitted && note('warn', 'It has changes that are not committed. ', link('To the commit', '#/commits')),
    live && !live.workflow_live && note('bad', `Its workflow “${live.workflow}” is not live in `
      + `${context.environmentName}: events do nothing. `, link('To the commit and publishing', '#/commits')),
    live && live.workflow_live && !live.workflow_active && note('warn',
      `Its workflow “${live.workflow}” is switched off in ${context.environmentName}.`),
    !fresh && !draft && note('warn', `It is live in ${context.environmentName} and is not in `
      + `${environments[0].name} any more. Saving puts it there again.`),
    live && h('div', { class: 'setting' },
      h('span', { class: 'strong' }, `Active in ${context.environmentName}`),
      activeToggle(context, context.part, live)),
    !names.length && note('warn', 'There is no workflow to start yet. ', link('Create one', '#/workflows/new')),
    h('div', { class: 'editor' },
      card('Mapping', events,
        form(save, h('div', { class: 'columns' }, key.node, source.node, event.node, workflow.node),
          parameters.map(({ node }) => node), verdict,
          h('div', { class: 'actions' }, submit('Save mapping')))),
      card('Sample', sampleBox)),
    !fresh && draft && card('Delete',
      h('p', null, 'The deletion becomes a change to commit, and to publish from there on.'),
      button('Delete mapping…', async (event) => {
        if (!await ask({ title: `Delete the mapping “${context.part}”?`, danger: true, confirm: 'Delete mapping',
                         text: 'What is live stays so until the deletion is committed.' })) return

        await doing(event.target, async () => {
          await remove(path`/actions/${context.part}`, draft)
          say(`${context.part} is deleted. Commit that to make it so.`)
          context.go('mapping')
        })
      }, { class: 'danger' }))
  ]
}


// A parameter: a path, a fixed value, or for recipients several of these.

function parameter(name, title, hint, value) {
  const kinds = [['path', 'Path'], ['literal', 'Fixed value']]

  if (name === 'recipients') kinds.push(['several', 'Several'])

  const kind = Array.isArray(value) ? 'several' : value && typeof value === 'object' ? 'literal' : 'path'
  const choice = select(kinds, kind, { 'aria-label': `Kind of ${title.toLowerCase()}`, class: 'kind' })
  const area = h('textarea', { rows: 3, class: 'mono', spellcheck: 'false' })
  const input = h('input', { type: 'text', class: 'mono', spellcheck: 'false', autocapitalize: 'off' })
  const said = h('p', { class: 'hint', id: id('hint') }, hint)
  const error = h('div', { class: 'error', id: id('error'), hidden: true })
  const shown = h('div', { class: 'resolved', id: id('resolved') })
  const label = h('label', { for: id(name) }, title)
  const slot = h('div', { class: 'control' })

  for (const control of [input, area]) {
    control.setAttribute('aria-describedby', `${error.id} ${said.id}`)
  }

  input.value = kind === 'path' ? value ?? '' : kind === 'literal' ? literal(value) : ''
  area.value = kind === 'several' ? value.map((each) =>
    typeof each === 'string' ? each : JSON.stringify(each)).join('\n') : ''

  const control = () => choice.value === 'several' ? area : input

  function draw() {
    for (const each of [input, area]) each.removeAttribute('id')
    control().id = label.htmlFor
    slot.replaceChildren(control())
    said.textContent = choice.value === 'path' ? hint
      : choice.value === 'literal' ? 'The same for every event: a text, or JSON.'
        : 'One to a line: a path, or {"literal": ...}.'
  }

  choice.addEventListener('change', () => {
    if (choice.value === 'several' && !area.value) area.value = input.value
    draw()
  })
  draw()

  return {
    name, title, shown,
    node: h('div', { class: 'field parameter' }, h('div', { class: 'row' }, label, choice), slot, error, said, shown),
    focus: () => control().focus(),

    value() {
      const text = control().value

      if (choice.value === 'several') {
        return text.split('\n').filter((line) => line.trim()).map((line) =>
          line.trim().startsWith('{') ? tryParse(line) : line.trim())
      }

      if (text === '') return null

      return choice.value === 'literal' ? { literal: tryParse(text) } : text
    },

    take(path) {
      if (choice.value === 'several') {
        area.value += (area.value && !area.value.endsWith('\n') ? '\n' : '') + path
      } else {
        choice.value = 'path'
        draw()
        input.value = path
      }
    },

    // the column is told in the message
    fail(message) {
      const column = Number(/ column (\d+)/.exec(message)?.[1] ?? 0)
      const line = /^"\w+\[(\d+)\]/.exec(message)?.[1]
      const text = line === undefined ? control().value
        : area.value.split('\n').filter((each) => each.trim())[line]?.trim() ?? ''

      error.hidden = !message
      control()[message ? 'setAttribute' : 'removeAttribute']('aria-invalid', 'true')
      error.replaceChildren(...message ? [
        column > 0 && text && h('pre', { 'aria-hidden': 'true' },
          `${text}\n${' '.repeat([...text].slice(0, column - 1).length)}^`),
        h('p', null, message.replace(/^"[^"]*": /, ''))].filter(Boolean) : [])
    },

    show(answer) {
      shown.replaceChildren(...name === 'recipients' ? recipients(answer) : single(answer, name))
    }
  }
}

function recipients({ recipients, skipped }) {
  const reasons = new Map(skipped.map(({ recipient, reason }) => [JSON.stringify(recipient), reason]))
  const rows = [
    ...recipients.map((recipient) => [recipient, reasons.get(JSON.stringify(recipient))]),
    ...skipped.filter(({ recipient }) => !recipients.some((each) => same(each, recipient)))
      .map(({ recipient, reason }) => [recipient, reason])]

  if (!rows.length) return [h('span', { class: 'quiet' }, 'finds nobody')]

  const more = rows.length > 50 ? rows.splice(50).length : 0

  return [h('ul', { class: 'chips' }, rows.map(([recipient, reason]) =>
    h('li', { class: reason ? 'chip bad' : 'chip good' }, `${reason ? '✗' : '✓'} ${who(recipient)}`,
      reason && h('span', null, `: ${why(reason)}`))),
    more > 0 && h('li', { class: 'chip' }, `and ${more} more`))]
}

function single(answer, name) {
  if (answer[name] === null) return [h('span', { class: 'quiet' }, 'resolves to nothing: null')]

  return [h('ul', { class: 'chips' }, h('li', { class: 'chip' }, who(answer[name]),
    name === 'actor' && answer.actor_identified === false && h('span', null, ' is not identified')))]
}

function literal({ literal }) {
  return typeof literal === 'string' && typeof tryParse(literal) === 'string' ? literal : JSON.stringify(literal)
}

function tryParse(text) {
  try {
    return parse(text)
  } catch {
    return text
  }
}
