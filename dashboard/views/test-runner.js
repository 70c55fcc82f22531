// The test runner: runs of a live workflow for users that exist.

import { find, get, parse, path, post, remembered } from '../api.js'
import { button, card, empty, field, form, h, head, id, link, note, plural, pretty, say, select, submit } from '../ui.js'
import { who, why } from '../resources.js'
import { runOf } from './runs.js'

export async function view(context) {
  const { environment, environmentName } = context
  const base = path`/environments/${environment}`
  const [workflows, users, sources] = await Promise.all([
    get(`${base}/workflows`, { limit: 1000 }), get(`${base}/users`, { limit: 50 }), get('/sources', { limit: 1000 })])
  const about = `Starts a workflow in ${environmentName} without an event. Its runs are marked as tests.`

  if (!workflows.items.length) {
    return [head('Test runner', about), empty(`No workflow is live in ${environmentName}.`,
      h('p', null, 'Commit one, or publish it to here.'), link('To the commits', '#/commits', { class: 'button' }))]
  }

  const people = id('people')
  const workflow = field('Workflow', select(workflows.items.map(({ key, name }) =>
    [key, name && name !== key ? `${name} (${key})` : key]),
    workflows.items.some(({ key }) => key === context.query.get('workflow'))
      ? context.query.get('workflow') : workflows.items[0].key))
  const recipient = field('Add a recipient', h('input', { type: 'text', list: people, spellcheck: 'false' }),
                          'The id of a user who is identified here.')
  const actor = field('Actor', h('input', { type: 'text', list: people, spellcheck: 'false' }), 'An id. May be empty.')
  const tenant = field('Tenant', h('input', { type: 'text', spellcheck: 'false' }), 'An id. May be empty.')
  const data = field('Payload', h('textarea', { class: 'mono', rows: 10, spellcheck: 'false', value: '{}' }),
                     'The run’s data: a JSON object.')
  const chosen = new Set()
  const chips = h('ul', { class: 'chips', 'aria-label': 'Chosen recipients' })
  const result = h('div', { 'aria-live': 'polite' })

  function draw() {
    chips.replaceChildren(...[...chosen].map((user) => h('li', { class: 'chip' }, user, ' ',
      button('Remove', () => {
        chosen.delete(user)
        draw()
        recipient.control.focus()
      }, { class: 'small', 'aria-label': `Remove ${user}` }))))
  }

  async function add() {
    const user = recipient.control.value.trim()

    recipient.fail(null)
    if (!user) return recipient.control.focus()

    if (await find(`${base}/users/${encodeURIComponent(user)}`)) {
      chosen.add(user)
      recipient.control.value = ''
      draw()
    } else {
      recipient.fail(`Nobody with the id “${user}” is identified in ${environmentName}.`)
    }

    recipient.control.focus()
  }

  recipient.control.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') {
      event.preventDefault()
      add().catch((error) => say(error.message, 'bad'))
    }
  })

  if (context.query.get('user')) chosen.add(context.query.get('user'))
  draw()

  async function run() {
    let payload

    data.fail(null)
    if (recipient.control.value.trim()) await add()

    if (!chosen.size) {
      recipient.fail('Add at least one recipient.')
      return recipient.control.focus()
    }

    try {
      payload = parse(data.control.value)
    } catch (error) {
      data.fail(error.message)
      return data.control.focus()
    }

    try {
      const answer = await post(`${base}/workflows/` + path`${workflow.control.value}/test`, {
        recipients: [...chosen], actor: actor.control.value.trim() || null,
        tenant: tenant.control.value.trim() || null, data: payload })

      await show(answer)
    } catch (error) {
      result.replaceChildren(note('bad', error.message))
    }
  }

  async function show({ runs, skipped }) {
    const page = runs ? await get(`${base}/runs`, { limit: Math.min(runs, 50) }) : { items: [] }

    result.replaceChildren(card('Result',
      note(runs ? 'good' : 'warn', `${plural(runs, 'test run')} started in ${environmentName}.`),
      skipped.length > 0 && h('ul', null, skipped.map(({ recipient, reason }) =>
        h('li', null, who(recipient), ': ', why(reason)))),
      h('ol', { class: 'entries' }, page.items.filter(({ test }) => test).map((run) => runOf(run)))))
    result.querySelector('details')?.setAttribute('open', '')
  }

  return [
    head('Test runner', about),
    h('datalist', { id: people }, users.items.map(({ id, name }) => h('option', { value: String(id) },
      typeof name === 'string' ? name : ''))),
    card('Start a test', form(run, workflow.node,
      h('div', { class: 'search' }, recipient.node,
        button('Add', () => add().catch((error) => say(error.message, 'bad')), { 'aria-label': 'Add recipient' })),
      chips,
      h('div', { class: 'columns' }, actor.node, tenant.node),
      data.node,
      sources.items.length > 0 && samples(context, sources.items, data),
      submit('Start test'))),
    result
  ]
}

// properties of an event that was seen, for the payload
function samples(context, sources, data) {
  const source = sources.find(({ key }) => key === remembered.get('source')) ?? sources[0]
  const box = h('details', null, h('summary', null, 'Take the payload from a sample'))
  let loaded = false

  box.addEventListener('toggle', async () => {
    if (!box.open || loaded) return
    loaded = true

    try {
      const { items } = await get(path`/sources/${source.key}/environments/${context.environment}/events`, { limit: 50 })
      const usable = items.filter(({ event, sample }) => event.startsWith('track/') && sample)

      box.append(usable.length
        ? h('ul', { class: 'plain' }, usable.map(({ event, sample }) => h('li', null, button(event, () => {
          data.control.value = pretty(sample.properties ?? {})
          data.control.focus()
        }))))
        : h('p', { class: 'quiet' }, 'No track event has been seen here.'))
    } catch (error) {
      loaded = false
      say(error.message, 'bad')
    }
  })

  return box
}
