// Logs: what was received, and what became of it.

import { get, path } from '../api.js'
import { address, badge, button, card, empty, entry as details, field, h, head, id, link, number, paged, plural, select,
         time } from '../ui.js'
import { chosenSource, noSource, sourceChoice, who, why } from '../resources.js'

const KINDS = { processed: 'good', ignored: '', duplicate: '', failed: 'bad', skipped: 'warn' }
const LIMIT = 50
const PAGES = 20            // looked through at a time for a text

export async function view(context) {
  const { items, source, none } = await chosenSource(context)

  if (none) return [head('Logs'), noSource()]

  const url = path`/sources/${source.key}/environments/${context.environment}/logs`
  const status = select([['', 'Any'], 'processed', 'ignored', 'duplicate', 'failed'],
                        context.query.get('status') ?? '')
  const text = h('input', { type: 'search', value: context.query.get('find') ?? '' })
  let timer

  const logs = paged({
    label: 'Log entries',
    load: (cursor) => load(url, status.value, text.value.trim(), cursor),
    none: () => empty(status.value || text.value ? 'Nothing in the log is like that.'
      : `Nothing has been received from “${source.name}” in ${context.environmentName}.`),
    render: (items, { cursor }) => items.length
      ? h('ol', { class: 'entries' }, items.map((entry) => entryOf(entry)))
      : empty(cursor ? 'Nothing among these. Older entries are on the next page.' : 'No more.')
  })

  status.addEventListener('change', logs.restart)
  text.addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(logs.restart, 300)
  })

  await logs.first

  return [
    head('Logs', `What ${source.name} sent to ${context.environmentName}, newest first, and what became of it.`,
      button('Refresh', () => logs.restart())),
    h('div', { class: 'filters' },
      sourceChoice(context, items, source),
      field('Status', status).node,
      field('Event or message id', text).node),
    card('Received events', logs.node)
  ]
}

// The API knows a status; a text is looked for in its pages.
async function load(url, status, text, cursor) {
  const wanted = text.toLowerCase()
  let page

  for (let n = 0; n < PAGES; n++) {
    page = await get(url, { limit: LIMIT, status, cursor })

    if (wanted) {
      page.items = page.items.filter(({ event, message_id: message, actions }) =>
        [event, message, ...actions.flatMap(({ action, workflow }) => [action, workflow])]
          .some((each) => each?.toLowerCase().includes(wanted)))
    }

    if (page.items.length || !page.cursor) break
    cursor = page.cursor
  }

  return page
}

function entryOf(entry) {
  const runs = entry.actions.reduce((sum, { runs }) => sum + runs, 0)
  const skipped = entry.actions.reduce((sum, { skipped }) => sum + skipped.length, 0)

  return h('li', null, details(entry.id, [
    h('span', { class: 'when' }, time(entry.received_at)),
    h('span', { class: 'what' }, entry.event ?? 'no event'),
    h('span', { class: 'badges' },
      badge(entry.status, KINDS[entry.status]),
      runs > 0 && badge(plural(runs, 'run'), 'good'),
      skipped > 0 && badge(`${number(skipped)} left out`, 'warn'))
  ], () => [
    h('dl', { class: 'facts' },
      h('dt', null, 'Message id'), h('dd', { class: 'mono' }, entry.message_id ?? 'none'),
      entry.reason && [h('dt', null, 'Reason'), h('dd', null, why(entry.reason))]),
    entry.actions.map((action) => actionOf(entry, action)),
    !entry.actions.length && h('p', { class: 'quiet' }, 'No mapping acted on it.')
  ]))
}

function actionOf(entry, action) {
  const label = id('action')

  return h('section', { class: 'acted', 'aria-labelledby': label },
    h('h3', { id: label }, link(action.action, address('mapping', action.action)), ' → ',
      link(action.workflow ?? '', address('workflows', action.workflow)), ' ',
      badge(action.status, KINDS[action.status])),
    h('dl', { class: 'facts' },
      action.error && [h('dt', null, 'Error'), h('dd', null, why(action.error))],
      h('dt', null, 'Recipients'), h('dd', null, names(action.recipients)),
      action.skipped.length > 0 && [h('dt', null, 'Left out'), h('dd', null, h('ul', { class: 'plain' },
        action.skipped.slice(0, 100).map(({ recipient, reason }) =>
          h('li', null, who(recipient), ': ', why(reason))),
        action.skipped.length > 100 && h('li', null, `and ${number(action.skipped.length - 100)} more`)))],
      h('dt', null, 'Actor'), h('dd', null, action.actor === null ? 'none' : who(action.actor),
        action.actor_identified === false && ' (not identified)'),
      h('dt', null, 'Tenant'), h('dd', null, action.tenant === null ? 'none' : who(action.tenant)),
      h('dt', null, 'Cancellation key'),
      h('dd', null, action.cancellation_key === null ? 'none' : who(action.cancellation_key)),
      h('dt', null, 'Runs'), h('dd', null, action.runs > 0
        ? link(`Show ${plural(action.runs, 'run')}`, address('runs', '',
          { message: entry.message_id, action: action.action }))
        : 'none')))
}

function names(recipients) {
  const list = Array.isArray(recipients) ? recipients : recipients === null ? [] : [recipients]

  if (!list.length) return 'none'

  return list.slice(0, 100).map(who).join(', ')
    + (list.length > 100 ? ` and ${number(list.length - 100)} more` : '')
}
