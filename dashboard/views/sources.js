// Sources: one for each Segment workspace, with an endpoint per environment.

import { get, patch, path, post, remove, remembered } from '../api.js'
import { address, ask, badge, button, card, copyable, doing, empty, field, form, h, head, link, paged,
         say, submit, table, time, toggle } from '../ui.js'
import { keyOf } from '../resources.js'

export const view = (context) => context.part ? one(context) : list(context)

async function list(context) {
  const sources = paged({
    label: 'Sources',
    load: (cursor) => get('/sources', { limit: 50, cursor }),
    none: () => empty('There is no source yet.',
      h('p', null, 'Create one below; then Segment can send its events here.')),
    render: (items) => table('Sources', [
      { name: 'Name', cell: ({ key, name }) => link(name, address('sources', key), { 'data-keep': key }) },
      { name: 'Key', cell: ({ key }) => h('code', null, key) },
      { name: 'Created', cell: ({ created_at: at }) => time(at) },
      { name: 'Events', cell: ({ key, name }) =>
        link('Events', address('events', '', { source: key }), { 'aria-label': `Events of ${name}` }) }
    ], items)
  })

  await sources.first

  return [
    head('Sources', 'Each receives the events of a Segment workspace, at a URL of its own in every environment.'),
    card('All sources', sources.node),
    creation(context),
    environments(context)
  ]
}

function creation(context) {
  const name = field('Name', h('input', { type: 'text', maxlength: 256 }), 'As people know it: “Web shop”.')
  const key = field('Key', h('input', { type: 'text', maxlength: 64, spellcheck: 'false' }),
                    'For the API: letters, digits, - and _. It cannot be changed later.')
  let own = false

  key.control.addEventListener('input', () => { own = key.control.value !== '' })
  name.control.addEventListener('input', () => {
    if (!own) key.control.value = keyOf(name.control.value)
  })

  return card('Create a source', form(async () => {
    name.fail(name.control.value.trim() ? null : 'Give it a name.')
    if (!name.control.value.trim()) return name.control.focus()

    try {
      const source = await post('/sources', {
        key: key.control.value.trim() || keyOf(name.control.value), kind: 'segment',
        name: name.control.value.trim() })

      remembered.set('source', source.key)
      say(`Source “${source.name}” created. Its URLs are below.`)
      context.go('sources', source.key)
    } catch (error) {
      key.fail(error.message)
      key.control.focus()
    }
  }, h('div', { class: 'columns' }, name.node, key.node), submit('Create source')))
}

function environments({ environments }) {
  const key = field('Key', h('input', { type: 'text', maxlength: 64, spellcheck: 'false' }),
                    'Lower case letters, digits, - and _: “staging”.')
  const after = field('Stands after', h('select', null, environments.map(({ key, name }) =>
    h('option', { value: key }, name))), 'Changes are published from one to the next.')

  return card('Environments',
    h('ol', { class: 'chain' }, environments.map(({ name, key }) => h('li', null, name, ' ', h('code', null, key)))),
    h('details', null, h('summary', null, 'Add an environment'),
      form(async () => {
        try {
          await post('/environments', { key: key.control.value.trim(), after: after.control.value })
          say(`Environment “${key.control.value.trim()}” added.`)
          dispatchEvent(new Event('knock:environments'))
        } catch (error) {
          key.fail(error.message)
          key.control.focus()
        }
      }, h('div', { class: 'columns' }, key.node, after.node), submit('Add environment'))))
}


async function one(context) {
  const url = path`/sources/${context.part}`
  const [source, ...endpoints] = await Promise.all([
    get(url), ...context.environments.map(({ key }) => get(path`/sources/${context.part}/environments/${key}`))])
  let current = source
  const name = field('Name', h('input', { type: 'text', maxlength: 256, value: source.name }))

  remembered.set('source', source.key)

  return [
    head(source.name, ['Source ', h('code', null, source.key)],
      link('Events', address('events', '', { source: source.key }), { class: 'button' }),
      link('Logs', address('logs', '', { source: source.key }), { class: 'button' })),
    h('div', { class: 'grid' }, endpoints.map((endpoint, i) =>
      endpointCard(context, endpoint, context.environments[i]))),
    steps(),
    card('This source',
      form(async () => {
        current = await patch(url, { name: name.control.value.trim() }, current)
        await context.again()
        say('The name is changed.')
      }, name.node, submit('Rename')),
      h('p', null, 'Created ', time(source.created_at), '.'),
      button('Delete source…', async (event) => {
        const sure = await ask({
          title: `Delete “${source.name}”?`, danger: true, confirm: 'Delete source',
          text: 'Its URLs stop working in every environment, and its events and logs are gone. Users and runs stay.' })

        if (sure) {
          await doing(event.target, async () => {
            await remove(url, current)
            remembered.forget('source')
            say(`Source “${source.name}” deleted.`)
            context.go('sources')
          })
        }
      }, { class: 'danger' }))
  ]
}

function endpointCard(context, endpoint, { key, name }) {
  const url = path`/sources/${endpoint.source}/environments/${key}`
  const here = key === context.environment
  let current = endpoint

  const box = h('div')
  const draw = () => box.replaceChildren(...content())

  const change = async (body) => {
    current = await patch(url, body, current)
  }

  const setting = (field, label, hint) => h('div', { class: 'setting' },
    h('div', null, h('span', { class: 'strong' }, label), h('p', { class: 'hint' }, hint)),
    toggle(`${label} in ${name}`, current[field], async (on) => {
      await change({ [field]: on })
      say(`${name}: ${label.toLowerCase()} is ${on ? 'on' : 'off'}.`)
    }))

  function content() {
    const secret = field('Signing secret', h('input', {
      type: 'password', maxlength: 256, autocomplete: 'new-password' }),
      current.signing_secret_set ? 'One is set: unsigned requests are refused. It is never shown.'
        : 'None is set. With one, only requests that Segment signed with it are taken.')

    return [
      copyable(current.url, `URL of ${name}`),
      h('p', null, 'Last event: ', time(current.last_event_at)),
      setting('enabled', 'Receive events', 'Off: Segment is answered with an error.'),
      setting('identify_enabled', 'Identify users', 'identify events create and update users.'),
      setting('idempotency_enabled', 'Recognise repeats', 'An event sent twice acts once, by its messageId.'),
      form(async () => {
        if (!secret.control.value) {
          secret.fail('Enter a secret.')
          return secret.control.focus()
        }

        await change({ signing_secret: secret.control.value })
        say(`${name}: the signing secret is set.`)
        draw()
      }, secret.node, h('div', { class: 'actions' },
        submit(current.signing_secret_set ? 'Replace secret' : 'Set secret', { class: '' }),
        current.signing_secret_set && button('Remove secret', async (event) => {
          const sure = await ask({ title: `Remove the secret of ${name}?`, confirm: 'Remove secret', danger: true,
                                   text: 'Requests are no longer checked: who knows the URL can send events.' })

          if (sure) {
            await doing(event.target, async () => {
              await change({ signing_secret: null })
              say(`${name}: the signing secret is removed.`)
              draw()
            })
          }
        }))),
      button('Rotate URL…', async (event) => {
        const sure = await ask({
          title: `Give ${name} a new URL?`, confirm: 'Rotate URL', danger: true,
          text: 'The URL that Segment has now stops working at once. Enter the new one there afterwards.' })

        if (sure) {
          await doing(event.target, async () => {
            current = await post(`${url}/rotate`, {}, current)
            say(`${name} has a new URL. Enter it in Segment.`)
            draw()
          })
        }
      }, { 'aria-label': `Rotate the URL of ${name}` })
    ]
  }

  draw()

  return card([name, ' ', here && badge('Chosen environment')], box)
}

function steps() {
  return card('In Segment', h('ol', { class: 'steps' },
    h('li', null, 'Open ', h('b', null, 'Connections › Destinations'), ', then ', h('b', null, 'Add destination'),
      ', and choose ', h('b', null, 'Webhooks (Actions)'), '.'),
    h('li', null, 'Choose the Segment source whose events are to come here, and name the destination.'),
    h('li', null, 'If a signing secret is set above: under ', h('b', null, 'Settings'), ' enter the same one as ',
      h('b', null, 'Shared Secret'), '.'),
    h('li', null, 'Under ', h('b', null, 'Mappings'), ' make a new mapping with the action ', h('b', null, 'Send'),
      '. As ', h('b', null, 'URL'), ' paste the one of the environment from above; the method is POST.'),
    h('li', null, 'Choose which events trigger it: Track, and Identify where users are to be identified.'),
    h('li', null, 'Switch on the mapping and the destination. What Segment sends then appears under ',
      link('Events', '#/events'), '.')))
}
