// Events: what a source has sent in an environment, by event.

import { get, path, remove } from '../api.js'
import { address, ask, button, card, copyable, doing, empty, h, head, json, link, number, paged,
         pathOf, say, select, table, time } from '../ui.js'
import { chosenSource, noSource, sourceChoice } from '../resources.js'

const PARAMETERS = [
  ['recipients', 'Recipients'], ['actor', 'Actor'], ['tenant', 'Tenant'],
  ['cancellation_key', 'Cancellation key']
]

export async function view(context) {
  const { items, source, none } = await chosenSource(context)

  if (none) return [head('Events'), noSource()]

  const url = path`/sources/${source.key}/environments/${context.environment}/events`
  const wanted = context.query.get('event')

  if (wanted) return sample(context, source, url, wanted)

  const events = paged({
    label: 'Events',
    load: (cursor) => get(url, { limit: 50, cursor }).then(short),
    none: () => empty(`No event has come from “${source.name}” in ${context.environmentName}.`,
      h('p', null, 'This page looks for new ones by itself.'),
      link('How to connect Segment', address('sources', source.key), { class: 'button' })),
    render: (items, { evicted }) => h('div', null,
      table('Events', [
        { name: 'Event', cell: ({ event }) => link(event,
          address('events', '', { source: source.key, event }), { 'data-keep': event }) },
        { name: 'Count', cell: ({ count }) => number(count), kind: 'number' },
        { name: 'First seen', cell: ({ first_seen_at: at }) => time(at) },
        { name: 'Last seen', cell: ({ last_seen_at: at }) => time(at) }
      ], items),
      evicted > 0 && h('p', { class: 'quiet' },
        `${number(evicted)} were unseen for longest and had to go: the catalogue is full.`))
  })

  await events.first
  context.every(3, () => events.index === 0 && events.reload())

  return [
    head('Events', `Distinct events in ${context.environmentName}. The list refreshes by itself.`),
    sourceChoice(context, items, source),
    card(`Events of ${source.name}`, events.node)
  ]
}

// the list does not need the samples
const short = ({ items, ...page }) =>
  ({ ...page, items: items.map(({ sample, ...item }) => item) })

async function sample(context, source, url, wanted) {
  const found = await eventOf(url, wanted)
  const back = link('All events', address('events', '', { source: source.key }), { class: 'button' })

  if (!found) {
    return [head(wanted, null, back),
            empty(`“${wanted}” has not been seen in ${context.environmentName}.`)]
  }

  const actions = (await get('/actions', { limit: 1000 })).items
    .filter(({ event, source: from }) => event === wanted && from === source.key)
  const choice = h('div', { class: 'taken', 'aria-live': 'polite' },
    h('p', { class: 'quiet' }, 'Choose a value or a name in the sample to take its path into a mapping.'))

  function pick(at) {
    const every = at.some((part) => typeof part === 'number')
    const into = select([['new', 'A new mapping'], ...actions.map(({ key }) => [key, key])],
                        actions[0]?.key ?? 'new', { 'aria-label': 'Mapping' })
    const text = pathOf(at)

    choice.replaceChildren(
      h('p', { class: 'quiet' }, 'The path of what you chose'),
      copyable(text, 'path'),
      h('div', { class: 'actions' }, h('label', null, 'Take it into ', into),
        PARAMETERS.map(([name, title]) => button(`As ${title.toLowerCase()}`, () => context.go('mapping', into.value, {
          source: source.key, event: wanted, [name]: name === 'recipients' && every ? pathOf(at, true) : text })))))
  }

  return [
    head(wanted, `${number(found.count)} received by ${source.name} in ${context.environmentName}.`, back,
      link('Map to a workflow', address('mapping', 'new', { source: source.key, event: wanted }),
           { class: 'button primary' })),
    h('dl', { class: 'facts' },
      h('dt', null, 'First seen'), h('dd', null, time(found.first_seen_at)),
      h('dt', null, 'Last seen'), h('dd', null, time(found.last_seen_at)),
      h('dt', null, 'Mapped by'), h('dd', null, actions.length
        ? actions.flatMap(({ key }, i) => [i ? ', ' : '', link(key, address('mapping', key))]) : 'no mapping yet')),
    card('Last sample', choice, found.sample
      ? json(found.sample, pick) : empty('No sample has been taken of it yet.')),
    card('Catalogue',
      h('p', null, 'Taken out, it comes back when it is received again.'),
      button('Take out of the catalogue…', async (event) => {
        if (!await ask({ title: `Take “${wanted}” out of the catalogue?`, confirm: 'Take out',
                         text: 'Its count and sample are gone. Mappings stay as they are.' })) return

        await doing(event.target, async () => {
          await remove(`${url}/${encodeURIComponent(wanted)}`)
          say(`“${wanted}” is taken out.`)
          context.go('events', '', { source: source.key })
        })
      }))
  ]
}

// One event of the catalogue, which is a list alone.
export async function eventOf(url, wanted) {
  let page

  do {
    page = await get(url, { limit: 250, cursor: page?.cursor })
    const event = page.items.find(({ event }) => event === wanted)

    if (event) return event
  } while (page.cursor)

  return null
}
