// Workflows: what an action starts; their definition is for who takes the runs.

import { find, parse, patch, path, put, remove } from '../api.js'
import { address, ask, badge, button, card, doing, empty, field, form, h, head, link, note, paged, pretty, say,
         submit, table, toggle } from '../ui.js'
import { documentOf, draftBadges, draftsAndLive, keyOf } from '../resources.js'
import { confirmLive } from './mapping.js'

export const view = (context) => context.part ? one(context) : list(context)

async function list(context) {
  const workflows = paged({
    label: 'Workflows',
    load: (cursor) => draftsAndLive('workflows', context.environment, 50, cursor),
    none: () => empty('There is no workflow yet.', h('p', null, 'A mapping names the workflow that it starts.')),
    render: (items, { deletions }) => table('Workflows', [
      { name: 'Name', cell: ({ key, draft, live }) =>
        link((draft ?? live).name || key, address('workflows', key), { 'data-keep': key }) },
      { name: 'Key', cell: ({ key }) => h('code', null, key) },
      { name: 'State', cell: (row) => draftBadges(row, deletions, context) },
      { name: `Active in ${context.environmentName}`, cell: ({ key, live }) => activeToggle(context, key, live) }
    ], items)
  })

  await workflows.first

  return [
    head('Workflows', 'What a mapping starts. A consumer of the runs reads their definition.',
      link('New workflow', address('workflows', 'new'), { class: 'button primary' })),
    card('All workflows', workflows.node)
  ]
}

function activeToggle(context, key, live) {
  if (!live) return h('span', { class: 'quiet' }, 'not live')

  return toggle(`Workflow ${key} active in ${context.environmentName}`, live.active, async (active) => {
    if (!await confirmLive(context, `Switch the workflow “${key}” ${active ? 'on' : 'off'}`)) return false
    await patch(path`/environments/${context.environment}/workflows/${key}`, { active })
    say(`${key} is ${active ? 'on' : 'off'} in ${context.environmentName}.`)
  }, { 'data-keep': `toggle-${key}` })
}

async function one(context) {
  const fresh = context.part === 'new'
  const [draft, live] = fresh ? [null, null] : await Promise.all([
    find(path`/workflows/${context.part}`),
    find(path`/environments/${context.environment}/workflows/${context.part}`)])

  if (!fresh && !draft && !live) {
    return [head(context.part), empty('There is no such workflow.', link('All workflows', '#/workflows'))]
  }

  const shown = documentOf(draft ?? live) ?? { definition: { steps: [] } }
  const name = field('Name', h('input', { type: 'text', maxlength: 256, value: shown.name ?? '' }))
  const key = field('Key', h('input', { type: 'text', maxlength: 64, spellcheck: 'false' }),
                    'Letters, digits, - and _. It cannot be changed later.')
  const definition = field('Definition', h('textarea', { class: 'mono', rows: 14, spellcheck: 'false',
    value: pretty(shown.definition ?? {}) }), 'A JSON object. It is kept as it is, for the consumer of the runs.')
  let own = false

  key.control.addEventListener('input', () => { own = true })
  name.control.addEventListener('input', () => {
    if (fresh && !own) key.control.value = keyOf(name.control.value)
  })

  async function save() {
    let value

    key.fail(null)
    definition.fail(null)

    try {
      value = parse(definition.control.value)
    } catch (error) {
      definition.fail(error.message)
      return definition.control.focus()
    }

    const to = fresh ? key.control.value.trim() || keyOf(name.control.value) : context.part

    if (!to) {
      name.fail('Give it a name.')
      return name.control.focus()
    }

    if (fresh && await find(path`/workflows/${to}`)) {
      key.fail('There is a workflow with this key.')
      return key.control.focus()
    }

    try {
      await put(path`/workflows/${to}`, { name: name.control.value.trim() || to, definition: value }, draft)
      say('Saved. Commit it to make it live.')
      context.go('workflows', to)
    } catch (error) {
      const where = /"key"/.test(error.message) ? key : definition

      where.fail(error.message)
      where.control.focus()
    }
  }

  return [
    head(fresh ? 'New workflow' : shown.name || context.part,
      fresh ? null : ['Workflow ', h('code', null, context.part), ' ',
                      draft?.uncommitted && badge('Uncommitted', 'warn'), ' ',
                      live ? badge(`Live in ${context.environmentName}`, 'good')
                        : badge(`Not live in ${context.environmentName}`)],
      link('All workflows', '#/workflows', { class: 'button' }),
      !fresh && live && link('Test it', address('test-runner', '', { workflow: context.part }), { class: 'button' })),
    draft?.uncommitted && note('warn', 'It has changes that are not committed. ', link('To the commit', '#/commits')),
    live && h('div', { class: 'setting' },
      h('span', { class: 'strong' }, `Active in ${context.environmentName}`),
      activeToggle(context, context.part, live)),
    live && !live.action_live && note('', `No mapping that is live in ${context.environmentName} starts it.`),
    card(fresh ? 'Workflow' : 'Edit',
      form(save, name.node, fresh && key.node, definition.node,
        h('div', { class: 'actions' }, submit('Save workflow')))),
    !fresh && draft && card('Delete',
      h('p', null, 'The deletion becomes a change to commit, and to publish from there on.'),
      button('Delete workflow…', async (event) => {
        if (!await ask({ title: `Delete the workflow “${context.part}”?`, danger: true, confirm: 'Delete workflow',
                         text: 'What is live stays so until the deletion is committed.' })) return

        await doing(event.target, async () => {
          await remove(path`/workflows/${context.part}`, draft)
          say(`${context.part} is deleted. Commit that to make it so.`)
          context.go('workflows')
        })
      }, { class: 'danger' }))
  ]
}
