// What sources, workflows and actions have in common.

import { all, get, path, remembered } from './api.js'
import { address, badge, empty, field, h, link, select } from './ui.js'

// The source that a view is about: the address names it, or it was the last.
export async function chosenSource(context) {
  const { items } = await get('/sources', { limit: 1000 })
  const wanted = context.query.get('source') || remembered.get('source')
  const source = items.find(({ key }) => key === wanted) ?? items[0]

  if (!source) return { items, none: noSource() }

  remembered.set('source', source.key)

  return { items, source }
}

export function noSource() {
  return empty('There is no source yet.',
    h('p', null, 'A source receives the events of one Segment workspace.'),
    link('Create a source', '#/sources', { class: 'button primary' }))
}

export function sourceChoice(context, items, source, query) {
  const choice = select(items.map(({ key, name }) => [key, name]), source.key)

  choice.addEventListener('change', () => context.go(context.name, '', { ...query, source: choice.value }))

  return field('Source', choice).node
}

const EXTRAS = ['uncommitted', 'live', 'active', 'workflow_live', 'workflow_active', 'action_live']

// the document alone, without what is said about it
export function documentOf(resource) {
  if (!resource) return null

  return Object.fromEntries(Object.entries(resource).filter(([name]) => !EXTRAS.includes(name)))
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)

// A page of drafts of a type ('workflows', 'actions'), each with what is live
// of it in an environment; and what is live there alone.
export async function draftsAndLive(type, environment, limit, cursor) {
  const [drafts, live] = await Promise.all([
    get(`/${type}`, { limit, cursor }),
    get(path`/environments/${environment}/` + type, { limit: 1000, cursor })
  ])
  const rows = new Map(drafts.items.map((draft) => [draft.key, { key: draft.key, draft, live: null }]))
  const last = drafts.cursor ? drafts.items.at(-1)?.key : null

  for (const item of live.items) {
    if (rows.has(item.key)) rows.get(item.key).live = item
    else if (!last || item.key < last) rows.set(item.key, { key: item.key, draft: null, live: item })
  }

  const items = [...rows.values()].sort((a, b) => a.key < b.key ? -1 : 1)

  return { items, cursor: drafts.cursor, deletions: drafts.deletions ?? [] }
}

export function draftBadges({ key, draft, live }, deletions, context) {
  const first = context.environments[0].key === context.environment

  return h('span', { class: 'badges' },
    draft?.uncommitted && badge('Uncommitted', 'warn'),
    deletions.includes(key) && badge('Deleted, uncommitted', 'warn'),
    !draft && !deletions.includes(key) && !first && badge(`Only in ${context.environmentName}`, 'warn'),
    live ? badge('Live', 'good') : badge('Not live'))
}

// a key as the API takes it, from a name
export const keyOf = (name) => name.normalize('NFKD').toLowerCase()
  .replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 64)

// the documents that are live in an environment, by TYPE/KEY
export async function liveDocuments(environment) {
  const [workflows, actions] = await Promise.all(['workflows', 'actions'].map((type) =>
    all(path`/environments/${environment}/` + type)))
  const documents = new Map()

  for (const item of workflows) documents.set(`workflow/${item.key}`, item)
  for (const item of actions) documents.set(`action/${item.key}`, item)

  return documents
}

export const resourceLink = ({ type, key }) =>
  link(key, address(type === 'workflow' ? 'workflows' : 'mapping', key))

export const WHY = {
  recipient_not_identified: 'not identified in this environment',
  user_too_large: 'would become too large',
  applied_before: 'served by an earlier try',
  recipients_missing: 'the recipients resolve to nothing',
  too_many_recipients: 'too many recipients',
  action_inactive: 'the action is switched off',
  workflow_inactive: 'the workflow is switched off',
  workflow_not_live: 'the workflow is not live in this environment',
  no_action: 'no action is for this event',
  identify_disabled: 'identify is switched off for the source',
  no_user_id: 'it names no user',
  invalid_recipient: 'neither an id nor an object',
  invalid_id: 'its id is none',
  invalid_collection: 'its collection is none'
}

export const why = (code) => code && (WHY[code] ? `${WHY[code]} (${code})` : code.replaceAll('_', ' '))

// a recipient, actor or tenant: an id, or { collection, id }
export const who = (value) => value !== null && typeof value === 'object'
  ? value.collection && value.collection !== '$users' ? `${value.collection}/${value.id}` : String(value.id)
  : typeof value === 'string' ? value : JSON.stringify(value)

