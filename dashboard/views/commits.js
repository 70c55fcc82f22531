// Commits: what is to become live, what became live, and the way on from one
// environment to the next.

import { find, get, path, post, remembered } from '../api.js'
import { address, ask, badge, button, card, changes, doing, empty, field, form, h, head, link, note, paged, plural,
         say, select, submit, time } from '../ui.js'
import { documentOf, liveDocuments, resourceLink, same } from '../resources.js'

const SHOWN = 50            // changes with their diff; the rest are counted

export const view = (context) => context.part ? one(context) : overview(context)

async function overview(context) {
  const { environments } = context
  const drafts = h('div'), publishing = h('div')
  const history = paged({
    label: 'Commits',
    load: (cursor) => get('/commits', { limit: 25, cursor }),
    none: () => empty('Nothing has been committed yet.'),
    render: (items) => h('ol', { class: 'entries' }, items.map((commit) => entry(context, commit)))
  })

  await Promise.all([
    uncommitted(context, drafts), history.first,
    environments.length > 1 ? publication(context, publishing, next(context)) : null])

  return [
    head('Commits', `A commit makes changes live in ${environments[0].name}; publishing takes them on from there.`),
    drafts,
    environments.length > 1 && publishing,
    card('History', history.node)
  ]
}

// where the chosen environment publishes to; the last one receives
function next({ environments, environment }) {
  const at = environments.findIndex(({ key }) => key === environment)

  return Math.min(at + 1, environments.length - 1)
}

const typeName = (type) => type === 'workflow' ? 'Workflow' : 'Mapping'

const keys = (commits) => commits.map(({ resource }) => resource.key).join(', ')

function verb({ before, after }) {
  return before === null ? 'added' : after === null ? 'deleted' : 'changed'
}

function change(label, { type, key, before, after }, ...more) {
  return h('details', { class: 'entry', 'data-keep': `${label}-${type}-${key}`, open: true },
    h('summary', null, h('span', { class: 'what' }, `${typeName(type)} ${key}`),
      badge(verb({ before, after }), after === null ? 'bad' : before === null ? 'good' : 'warn')),
    changes(`${label}: ${type} ${key}`, before, after), more)
}

// message and author, as both forms have them
function words(message) {
  const what = field('Message', h('input', { type: 'text', maxlength: 900 }), message)
  const who = field('Author', h('input', { type: 'text', maxlength: 200, value: remembered.get('author') }),
                    'Who you are, for the history.')

  return {
    node: h('div', { class: 'columns' }, what.node, who.node),

    read() {
      const value = what.control.value.trim()

      what.fail(value ? null : 'Say what it is for.')
      if (!value) return what.control.focus()

      remembered.set('author', who.control.value.trim())

      return { message: value, author: who.control.value.trim() || null }
    }
  }
}


async function uncommitted(context, box) {
  const first = context.environments[0]
  const found = []

  for (const type of ['workflow', 'action']) {
    let page

    do {
      page = await get(`/${type}s`, { limit: 1000, cursor: page?.cursor })
      for (const item of page.items) if (item.uncommitted) found.push({ type, key: item.key, after: documentOf(item) })
      if (!page.cursor) for (const key of page.deletions ?? []) found.push({ type, key, after: null })
    } while (page.cursor)
  }

  const shown = found.slice(0, SHOWN)

  await Promise.all(shown.map(async (item) => {
    item.before = documentOf(await find(path`/environments/${first.key}/` + path`${item.type}s/${item.key}`))
  }))

  if (!found.length) {
    box.replaceChildren(card('Uncommitted changes', empty('There are none.')))
    return
  }

  const said = words('What the change is for.')

  async function commit(resource, control) {
    const { message, author } = said.read() ?? {}

    if (!message) return

    await doing(control, async () => {
      const { items } = await post('/commits', { message, author, resource })

      await context.again()
      say(`${plural(items.length, 'change')} committed: live in ${first.name}.`)
    })
  }

  box.replaceChildren(card(`Uncommitted changes (${found.length})`,
    shown.map((item) => change('Uncommitted', item, found.length > 1
      && button(`Commit only this`, (event) => commit({ type: item.type, key: item.key }, event.target),
                { 'aria-label': `Commit only ${item.type} ${item.key}` }))),
    found.length > SHOWN && note('', `And ${plural(found.length - SHOWN, 'more change')}.`),
    form(() => commit(undefined, null), said.node,
      submit(found.length > 1 ? `Commit all ${found.length}` : 'Commit'))))
}


async function publication(context, box, index) {
  const { environments } = context
  const from = environments[index - 1], to = environments[index]
  const [here, there] = await Promise.all([liveDocuments(from.key), liveDocuments(to.key)])
  const found = []

  for (const name of new Set([...here.keys(), ...there.keys()])) {
    const before = documentOf(there.get(name)), after = documentOf(here.get(name))
    const [type, key] = name.split('/')

    if (!same(before, after)) found.push({ type, key, before, after })
  }

  found.sort((a, b) => a.type === b.type ? (a.key < b.key ? -1 : 1) : a.type === 'workflow' ? -1 : 1)

  const choice = field('Publish to', select(environments.slice(1).map(({ key, name }, i) =>
    [i + 1, `${name} (from ${environments[i].name})`]), index))
  const said = words('What is published, and why.')

  choice.control.addEventListener('change', () =>
    publication(context, box, Number(choice.control.value)).catch((error) => say(error.message, 'bad')))

  async function publish(resource, control) {
    const { message, author } = said.read() ?? {}

    if (!message) return

    if (environments.length - 1 === index && !await ask({
      title: `Publish to ${to.name}?`, confirm: `Publish to ${to.name}`,
      text: 'It governs every event that is received there from then on.' })) return

    await doing(control, async () => {
      const { items } = await post('/commits/publish', { to: to.key, message, author, resource })
      const idle = items.filter(({ workflow_live: live, after }) => after && live === false)

      await context.again()
      say(`${plural(items.length, 'change')} published to ${to.name}.`
        + (idle.length ? ` Without effect for want of their workflow: ${keys(idle)}.` : ''),
          idle.length ? 'warn' : 'good')
    })
  }

  const missing = await lacking(context, found, here, there, to)

  box.replaceChildren(card('Publish',
    environments.length > 2 && choice.node,
    found.length
      ? [h('p', null, `What is live in ${from.name} and would be in ${to.name}:`),
        found.slice(0, SHOWN).map((item) => change('To publish', item,
          item.type === 'action' && item.after && !there.has(`workflow/${item.after.workflow}`)
            && note('warn', `Published alone it does nothing: its workflow “${item.after.workflow}” `
              + `is not live in ${to.name}.`),
          found.length > 1 && button('Publish only this', (event) =>
            publish({ type: item.type, key: item.key }, event.target),
                                     { 'aria-label': `Publish only ${item.type} ${item.key}` }))),
        found.length > SHOWN && note('', `And ${plural(found.length - SHOWN, 'more change')}.`)]
      : empty(`${to.name} has all that is live in ${from.name}.`),
    missing.length > 0 && note('warn', h('p', { class: 'strong' }, `Missing in ${to.name}`),
      h('ul', null, missing.map((each) => h('li', null, each)))),
    found.length > 0 && form(() => publish(undefined, null), said.node,
      submit(found.length > 1 ? `Publish all ${found.length} to ${to.name}` : `Publish to ${to.name}`))))
}

// what would keep the actions from acting there, once all is published
async function lacking(context, found, here, there, to) {
  const actions = [...here].filter(([name]) => name.startsWith('action/')).map(([, item]) => item)
  const missing = []

  for (const { key, workflow } of actions) {
    const live = there.get(`workflow/${workflow}`)

    if (!here.has(`workflow/${workflow}`)) {
      missing.push(`The workflow “${workflow}” of the mapping “${key}”: commit it first.`)
    } else if (live && !live.active) {
      missing.push(`The workflow “${workflow}” of the mapping “${key}” is switched off there.`)
    }

    if (there.get(`action/${key}`)?.active === false) missing.push(`The mapping “${key}” is switched off there.`)
  }

  for (const source of new Set(actions.map(({ source }) => source))) {
    const endpoint = await find(path`/sources/${source}/environments/${to.key}`)

    if (!endpoint) missing.push(`The source “${source}”.`)
    else if (!endpoint.enabled) missing.push(`The source “${source}” receives no events there: it is switched off.`)
    else if (!endpoint.last_event_at) {
      missing.push(h('span', null, `The source “${source}” has received nothing there yet: `,
        link('enter its URL in Segment', address('sources', source)), '.'))
    }
  }

  return missing.length > 20 ? [...missing.slice(0, 20), `And ${missing.length - 20} more.`] : missing
}


const environmentName = ({ environments }, wanted) =>
  environments.find(({ key }) => key === wanted)?.name ?? wanted

function entry(context, commit) {
  return h('li', { class: 'entry' },
    h('div', { class: 'summary' },
      h('span', { class: 'when' }, time(commit.created_at)),
      h('span', { class: 'what' }, link(commit.message || 'No message', address('commits', commit.id),
                                        { 'data-keep': commit.id })),
      h('span', { class: 'badges' }, badge(environmentName(context, commit.environment)),
        badge(`${typeName(commit.resource.type)} ${commit.resource.key} ${verb(commit)}`))),
    commit.author && h('p', { class: 'quiet' }, `by ${commit.author}`))
}

async function one(context) {
  const commit = await get(path`/commits/${context.part}`)
  const where = environmentName(context, commit.environment)

  return [
    head(commit.message || 'No message', ['Commit ', h('code', null, commit.id)],
      link('All commits', '#/commits', { class: 'button' }),
      button('Revert…', async (event) => {
        const words = await ask({
          title: 'Revert this commit?', confirm: 'Revert', danger: true,
          text: `What it changed becomes live again in ${where} as it was before.`,
          fields: [{ name: 'message', label: 'Message', value: `Revert: ${commit.message ?? commit.id}`.slice(0, 300) },
            { name: 'author', label: 'Author', value: remembered.get('author') }] })

        if (!words) return

        await doing(event.target, async () => {
          const { items: [made] } = await post(path`/commits/${commit.id}/revert`,
            { message: words.message || null, author: words.author || null })

          say(`Reverted in ${where}.`)
          context.go('commits', made.id)
        })
      }, { class: 'danger' })),
    h('dl', { class: 'facts' },
      h('dt', null, 'Environment'), h('dd', null, where),
      h('dt', null, 'Changed'), h('dd', null, typeName(commit.resource.type), ' ', resourceLink(commit.resource)),
      h('dt', null, 'Author'), h('dd', null, commit.author || 'not said'),
      h('dt', null, 'Time'), h('dd', null, time(commit.created_at))),
    card('Change', changes('Change', commit.before, commit.after))
  ]
}
