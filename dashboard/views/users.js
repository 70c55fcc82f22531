// Users: who is identified in an environment.

import { find, get, parse, path, put, remove } from '../api.js'
import { address, ask, badge, button, card, doing, empty, field, form, h, head, json, link, paged, pretty, say, submit,
         table, time } from '../ui.js'

export const view = (context) => context.part ? one(context) : list(context)

async function list(context) {
  const url = path`/environments/${context.environment}/users`
  const wanted = field('Id', h('input', { type: 'search', spellcheck: 'false' }), 'The whole id of a user.')
  const users = paged({
    label: 'Users',
    load: (cursor) => get(url, { limit: 50, cursor }).then(short),
    none: () => empty(`Nobody is identified in ${context.environmentName}.`,
      h('p', null, 'identify events do that, where the source has them switched on.')),
    render: (items) => table('Users', [
      { name: 'Id', cell: ({ id }) => link(String(id), address('users', String(id)), { 'data-keep': String(id) }) },
      { name: 'Name', cell: ({ name }) => text(name) },
      { name: 'Email', cell: ({ email }) => text(email) },
      { name: 'Last identified', cell: ({ updated_at: at }) => time(at) }
    ], items)
  })

  await users.first

  return [
    head('Users', `Who is identified in ${context.environmentName}. The list is in no order.`),
    card('Find a user', form(async () => {
      const id = wanted.control.value.trim()

      wanted.fail(id ? null : 'Enter an id.')

      if (id && await find(`${url}/${encodeURIComponent(id)}`)) return context.go('users', id)
      if (id) wanted.fail(`Nobody with the id “${id}” is identified in ${context.environmentName}.`)
      wanted.control.focus()
    }, h('div', { class: 'search' }, wanted.node, submit('Find')))),
    card('All users', users.node),
    creation(context, url)
  ]
}

const short = ({ items, cursor }) =>
  ({ cursor, items: items.map(({ id, name, email, updated_at }) => ({ id, name, email, updated_at })) })

const text = (value) => value === undefined || value === null ? h('span', { class: 'quiet' }, 'none')
  : typeof value === 'string' ? value : JSON.stringify(value)

function creation(context, url) {
  const id = field('Id', h('input', { type: 'text', maxlength: 256, spellcheck: 'false' }))
  const properties = propertiesField({})

  return card('Identify a user', h('details', null, h('summary', null, 'Enter one by hand'),
    form(async () => {
      const key = id.control.value.trim()

      id.fail(key ? null : 'Enter an id.')
      if (!key) return id.control.focus()
      if (!await save(url, key, properties)) return

      say(`${key} is identified in ${context.environmentName}.`)
      context.go('users', key)
    }, id.node, properties.node, submit('Identify user'))))
}

const propertiesField = (value) => field('Properties',
  h('textarea', { class: 'mono', rows: 8, spellcheck: 'false', value: pretty(value) }),
  'A JSON object. What is named is set; objects are merged, what is not named stays.')

async function save(url, id, properties, match) {
  properties.fail(null)

  try {
    return await put(`${url}/${encodeURIComponent(id)}`, parse(properties.control.value), match)
  } catch (error) {
    properties.fail(error.message)
    properties.control.focus()
  }
}

async function one(context) {
  const url = path`/environments/${context.environment}/users`
  const user = await find(`${url}/${encodeURIComponent(context.part)}`)
  const back = link('All users', '#/users', { class: 'button' })

  if (!user) {
    return [head(context.part, null, back),
            empty(`Nobody with this id is identified in ${context.environmentName}.`)]
  }

  const { id, updated_at, ...own } = user
  const properties = propertiesField(own)

  return [
    head(String(id), badge(context.environmentName), back,
      link('Test with this user', address('test-runner', '', { user: String(id) }), { class: 'button' })),
    h('dl', { class: 'facts' }, h('dt', null, 'Last identified'), h('dd', null, time(updated_at))),
    card('Properties', json(user)),
    card('Change', form(async () => {
      if (!await save(url, context.part, properties, user)) return
      await context.again()
      say(`${id} is changed.`)
    }, properties.node, submit('Save properties'))),
    card('Delete',
      h('p', null, 'Events that name this user by id make no run any more, until it is identified again.'),
      button('Delete user…', async (event) => {
        if (!await ask({ title: `Delete “${id}” in ${context.environmentName}?`, danger: true,
                         confirm: 'Delete user', text: 'Its properties are gone.' })) return

        await doing(event.target, async () => {
          await remove(`${url}/${encodeURIComponent(context.part)}`, user)
          say(`${id} is deleted.`)
          context.go('users')
        })
      }, { class: 'danger' }))
  ]
}
