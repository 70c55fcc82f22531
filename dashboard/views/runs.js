// Runs: those that wait in the queue, and how long it was.

import { get, path } from '../api.js'
import { address, badge, card, duration, empty, entry, h, head, json, link, number, paged, s, time } from '../ui.js'
import { history, note } from '../queue.js'
import { who } from '../resources.js'

const LIMIT = 50
const PAGES = 20

export async function view(context) {
  const url = path`/environments/${context.environment}/runs`
  const message = context.query.get('message')
  const action = context.query.get('action')
  const wanted = (run) => (!message || run.message_id === message) && (!action || run.action === action)
  const queue = h('div')

  const runs = paged({
    label: 'Runs',
    load: (cursor) => load(url, message ? wanted : null, cursor),
    none: () => message
      ? empty('No run of this event is in the queue.', h('p', null, 'A consumer has taken it, or there was none.'))
      : empty('The queue is empty.', h('p', null, 'There was no run yet, or a consumer has taken all.')),
    render: (items, { cursor, through }) => items.length
      ? h('div', null, h('ol', { class: 'entries' }, items.map((run) => runOf(run))),
        message && cursor && h('p', { class: 'quiet' }, `The newest ${number(through)} were looked through.`))
      : empty(cursor ? 'None among these. Older runs are on the next page.' : 'No more.')
  })

  async function refresh() {
    const { length, oldest_at: oldest } = await get(url, { limit: 1 })

    note(context.environment, { length, oldest_at: oldest })
    queue.replaceChildren(...charts(context.environment, length, oldest))
  }

  await Promise.all([refresh(), runs.first])
  context.every(3, async () => {
    try {
      await refresh()
      if (runs.index === 0) await runs.reload()
    } catch {
      // the next time tells, or the list has told
    }
  })

  return [
    head('Runs', `Runs that wait in ${context.environmentName} for a consumer. The page refreshes by itself.`,
      message && link('All runs', '#/runs', { class: 'button' })),
    card('Queue', queue),
    card(message ? `Runs of message ${message}` : 'Newest runs', runs.node)
  ]
}

async function load(url, wanted, cursor) {
  let page, through = 0

  for (let n = 0; n < PAGES; n++) {
    page = await get(url, { limit: LIMIT, cursor })
    through += page.items.length
    if (wanted) page.items = page.items.filter(wanted)
    if (page.items.length || !page.cursor) break
    cursor = page.cursor
  }

  return { items: page.items, cursor: page.cursor, through }
}

export function runOf(run) {
  return h('li', null, entry(run.id, [
    h('span', { class: 'when' }, time(run.enqueued_at)),
    h('span', { class: 'what' }, `${run.workflow} for ${who(run.recipient)}`),
    h('span', { class: 'badges' }, run.test && badge('Test', 'warn'))
  ], () => [
    h('p', null, run.action ? ['By the mapping ', link(run.action, address('mapping', run.action))]
      : 'By the test runner', run.event && [' on ', h('b', null, run.event)], '.'),
    json(run)
  ]))
}


// Two lines over time, drawn with attributes alone.

function charts(environment, length, oldest) {
  const points = history(environment)
  const age = oldest ? Math.max(0, (Date.now() - new Date(oldest)) / 1000) : 0

  return [h('div', { class: 'columns' },
    chart('Waiting runs', points, ({ length }) => length, number, number(length)),
    chart('Age of the oldest', points, ({ age }) => age, duration, oldest ? duration(age) : 'none waits'))]
}

const WIDTH = 320, HEIGHT = 80

function chart(title, points, of, text, now) {
  const values = points.map(of)
  const most = Math.max(...values, 0)
  const first = points[0].at, span = Math.max(points.at(-1).at - first, 1)
  const x = ({ at }) => (points.length > 1 ? (at - first) / span * WIDTH : WIDTH).toFixed(1)
  const y = (value) => (HEIGHT - 4 - (most ? value / most : 0) * (HEIGHT - 12)).toFixed(1)
  const line = points.map((point, i) => `${x(point)},${y(values[i])}`).join(' ')
  const about = `${title}: ${now}. At most ${text(most)} in the last ${duration(span / 1000)}.`

  return h('figure', { class: 'chart' },
    h('figcaption', null, h('span', { class: 'quiet' }, title), h('strong', { class: 'big' }, now)),
    s('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': about, preserveAspectRatio: 'none' },
      s('line', { x1: 0, y1: HEIGHT - 4, x2: WIDTH, y2: HEIGHT - 4, class: 'axis' }),
      points.length > 1
        ? s('polyline', { points: line, class: 'line' })
        : s('circle', { cx: WIDTH - 4, cy: y(values[0]), r: 3, class: 'dot' })),
    h('p', { class: 'hint' }, points.length > 1
      ? `The last ${duration(span / 1000)}; at most ${text(most)}.` : 'The line grows while the dashboard is open.'))
}
