// What the views are made of.  All text gets into the page as text nodes.

import { isRaw } from './api.js'

let ids = 0

export const id = (name) => `${name}-${++ids}`

// An element: h('a', { href, class, onclick }, children...)
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children)
}

export function s(tag, props, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children)
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue

    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else if (name === 'value') element.value = value
    else element.setAttribute(name, value === true ? '' : value)
  }

  element.append(...children.flat(Infinity).filter((child) => child !== null
    && child !== undefined && child !== false))

  if (tag(element) === 'select' && props?.value !== undefined) element.value = props.value

  return element
}

const tag = (element) => element.localName

export const link = (text, href, props) => h('a', { href, ...props }, text)

export const button = (text, onclick, props) =>
  h('button', { type: 'button', onclick, ...props }, text)

// #/name/part?query
export function address(name, part, query) {
  const search = new URLSearchParams()

  for (const [key, value] of Object.entries(query ?? {})) {
    if (value) search.set(key, value)
  }

  return `#/${name}${part ? `/${encodeURIComponent(part)}` : ''}${search.size ? `?${search}` : ''}`
}


// times

const exact = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit',
  second: '2-digit', fractionalSecondDigits: 3, timeZoneName: 'long' })
const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: 'short', day: 'numeric' })

export function time(iso, none = 'never') {
  const date = new Date(iso ?? NaN)

  if (isNaN(date)) return h('span', { class: 'quiet' }, none)

  const today = day.format(date) === day.format(new Date())
  const text = today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`

  return h('time', { datetime: iso, title: `${exact.format(date)} (${iso})` }, text)
}

export function duration(seconds) {
  const units = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]
  const at = units.findIndex(([, size]) => seconds >= size)

  if (at < 0) return '0 s'

  const [unit, size] = units[at]
  const rest = units[at + 1] && Math.floor(seconds % size / units[at + 1][1])

  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${units[at + 1][0]}` : ''}`
}

const counts = new Intl.NumberFormat()

export const number = (n) => counts.format(n)
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`


// headings and states

export function head(title, about, ...actions) {
  return h('header', { class: 'head' },
    h('div', null,
      h('h1', { tabindex: '-1' }, title),
      about && h('p', { class: 'quiet' }, about)),
    actions.length > 0 && h('div', { class: 'actions' }, actions))
}

export function card(title, ...children) {
  const label = id('card')

  return h('section', { class: 'card', 'aria-labelledby': label },
    h('h2', { id: label }, title), children)
}

export const badge = (text, kind = '') => h('span', { class: `badge ${kind}` }, text)

export const note = (kind, ...children) => h('div', { class: `note ${kind}` }, children)

export const loading = () =>
  h('p', { class: 'state' }, h('span', { class: 'busy', 'aria-hidden': 'true' }), 'Loading…')

export function empty(title, ...more) {
  return h('div', { class: 'state' }, h('p', { class: 'strong' }, title), more)
}

export function failure(error, retry) {
  return h('div', { class: 'state note bad', role: 'alert' },
    h('p', { class: 'strong' }, 'This did not work'),
    h('p', null, error.message),
    error.code && h('p', { class: 'quiet' }, `${error.code}${error.status ? ` (${error.status})` : ''}`),
    retry && button('Try again', retry))
}

let leaving

// one line of news at the bottom of the page, read out
export function say(text, kind = 'good') {
  const box = document.getElementById('status')

  clearTimeout(leaving)
  box.replaceChildren(h('div', { class: `note ${kind}` }, h('span', null, text),
    button('Dismiss', () => box.replaceChildren(), { class: 'small' })))
  leaving = setTimeout(() => box.replaceChildren(), 10000)
}

// Does `work` once at a time for a control, and tells what went wrong.  The
// control is not disabled, which would take the focus from it.
export async function doing(control, work) {
  if (control?.getAttribute('aria-disabled')) return

  control?.setAttribute('aria-disabled', 'true')

  try {
    return await work()
  } catch (error) {
    if (error.name !== 'AbortError') say(error.message, 'bad')
  } finally {
    control?.removeAttribute('aria-disabled')
  }
}


// forms

// A labelled control.  Gives { node, control, fail(message) }.
export function field(label, control, hint) {
  control.id ||= id('field')

  const hintId = hint && `${control.id}-hint`
  const error = h('p', { class: 'error', id: `${control.id}-error`, hidden: true })

  control.setAttribute('aria-describedby',
                       [hintId, error.id].filter(Boolean).join(' '))

  return {
    control,
    node: h('div', { class: 'field' },
      h('label', { for: control.id }, label), control,
      hint && h('p', { class: 'hint', id: hintId }, hint), error),

    fail(message) {
      error.hidden = !message
      error.textContent = message ?? ''
      message ? control.setAttribute('aria-invalid', 'true') : control.removeAttribute('aria-invalid')
    }
  }
}

export function select(options, value, props) {
  return h('select', { ...props, value }, options.map((option) => {
    const [key, text] = Array.isArray(option) ? option : [option, option]

    return h('option', { value: key }, text)
  }))
}

export function form(submit, ...children) {
  const element = h('form', { novalidate: true, autocomplete: 'off' }, children)

  element.addEventListener('submit', (event) => {
    event.preventDefault()
    doing(event.submitter, submit)
  })

  return element
}

export const submit = (text, props) => h('button', { type: 'submit', class: 'primary', ...props }, text)

// A switch; change(wanted) gives whether it may turn.
export function toggle(label, on, change, props) {
  const control = h('button', {
    type: 'button', class: 'switch', role: 'switch', 'aria-checked': String(on),
    'aria-label': label, ...props,
    onclick: () => doing(control, async () => {
      const wanted = control.getAttribute('aria-checked') !== 'true'

      if (await change(wanted) !== false) {
        control.setAttribute('aria-checked', String(wanted))
        control.lastChild.textContent = wanted ? 'On' : 'Off'
      }
    })
  }, h('span', { class: 'knob', 'aria-hidden': 'true' }), h('span', null, on ? 'On' : 'Off'))

  return control
}

// Asks in a dialog.  Gives true, or the values of its fields; null: not now.
export function ask({ title, text, fields = [], confirm = 'Confirm', danger = false }) {
  return new Promise((resolve) => {
    const label = id('dialog')
    const controls = fields.map(({ label, name, value = '', hint }) =>
      ({ name, ...field(label, h('input', { type: 'text', value }), hint) }))
    let answer = null

    const dialog = h('dialog', { 'aria-labelledby': label },
      form(() => {
        answer = controls.length
          ? Object.fromEntries(controls.map(({ name, control }) => [name, control.value.trim()])) : true
        dialog.close()
      },
        h('h2', { id: label }, title),
        [text].flat().map((part) => part instanceof Node ? part : h('p', null, part)),
        controls.map(({ node }) => node),
        h('div', { class: 'actions' },
          button('Cancel', () => dialog.close()),
          submit(confirm, { class: danger ? 'danger' : 'primary' }))))

    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(answer)
    })

    document.body.append(dialog)
    dialog.showModal()
  })
}

export function copyable(text, label) {
  const input = h('input', { type: 'text', readonly: true, value: text, 'aria-label': label,
                             class: 'mono', onfocus: () => input.select() })

  return h('div', { class: 'copy' }, input,
    button('Copy', () => copy(text, input), { 'aria-label': `Copy ${label}` }))
}

async function copy(text, input) {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    input.focus()           // a page without TLS has no clipboard
    input.select()
    document.execCommand('copy')
  }

  say('Copied.')
}


// lists

// columns: [{ name, cell(item), wide }]; stacked where it is narrow
export function table(label, columns, items) {
  return h('table', { role: 'table', 'aria-label': label },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map(({ name }) =>
      h('th', { role: 'columnheader', scope: 'col' }, name)))),
    h('tbody', { role: 'rowgroup' }, items.map((item) =>
      h('tr', { role: 'row' }, columns.map(({ name, cell, kind }) =>
        h('td', { role: 'cell', 'data-name': name, class: kind }, cell(item)))))))
}

// Pages of a list, one at a time in the page.  load(cursor) gives a page,
// render(items, page) its content.  Gives { node, first, reload, index }.
export function paged({ label, load, render, none }) {
  const cursors = ['']
  const body = h('div', { class: 'page', role: 'group', 'aria-label': label })
  const where = h('span', { role: 'status' })
  const back = button('Previous', () => go(list.index - 1))
  const start = button('First', () => go(0))
  const next = button('Next', () => go(list.index + 1))
  const bar = h('div', { class: 'pager', role: 'group', 'aria-label': `Pages of ${label.toLowerCase()}`,
                         hidden: true }, start, back, where, next)
  let shown, turn = 0

  const list = {
    index: 0,
    node: h('div', null, body, bar),
    // again, without a sign of it where nothing has changed
    reload: () => go(list.index, true),
    restart: () => { cursors.length = 1; return go(0) }
  }

  async function go(index, quietly = false) {
    const mine = ++turn

    body.setAttribute('aria-busy', 'true')
    if (!quietly && !body.firstChild) body.replaceChildren(loading())

    try {
      const page = await load(cursors[index])
      if (mine !== turn) return

      const text = JSON.stringify(page)

      if (quietly && text === shown) return

      shown = text
      list.index = index
      cursors.length = index + 1
      if (page.cursor) cursors.push(page.cursor)

      keep(body, () => body.replaceChildren(page.items.length || page.cursor || index
        ? render(page.items, page) : none()))

      bar.hidden = !page.cursor && index === 0
      back.disabled = start.disabled = index === 0
      next.disabled = !page.cursor
      where.textContent = `Page ${index + 1}`
      if (!quietly && turn > 1) body.scrollIntoView?.({ block: 'nearest' })
    } catch (error) {
      if (mine !== turn || error.name === 'AbortError') return
      shown = null
      body.replaceChildren(failure(error, () => go(index)))
    } finally {
      if (mine === turn) body.removeAttribute('aria-busy')
    }
  }

  list.first = go(0)

  return list
}

// An entry of a list; what is inside is made when it is opened.
export function entry(key, summary, inside) {
  const element = h('details', { class: 'entry', 'data-keep': key, ontoggle: () => {
    if (element.open && !element.children[1]) element.append(...[inside()].flat(Infinity).filter(Boolean))
  } }, h('summary', null, summary))

  return element
}

// Replaces what is inside, and keeps focus and what was open, by data-keep.
export function keep(body, change) {
  const open = [...body.querySelectorAll('details[open][data-keep]')].map(({ dataset }) => dataset.keep)
  const focus = body.contains(document.activeElement)
    && document.activeElement.closest('[data-keep]')?.dataset.keep

  change()

  for (const element of body.querySelectorAll('[data-keep]')) {
    if (open.includes(element.dataset.keep)) element.open = true
    if (focus === element.dataset.keep) {
      (element.localName === 'details' ? element.firstChild : element).focus({ preventScroll: true })
    }
  }
}


// JSON

export const pretty = (value) => JSON.stringify(value, null, 2)

const isLeaf = (value) => value === null || typeof value !== 'object' || isRaw(value)

// A value as an indented list.  With pick(path) every value and every key is
// a button that gives its path, as an array of keys and indexes.
export function json(value, pick) {
  return h('div', { class: 'json mono' }, branch(value, [], pick))
}

function branch(value, at, pick) {
  if (isLeaf(value)) return take(JSON.stringify(value), at, pick, typeof value)

  const entries = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'

  if (!entries.length) return take(open + close, at, pick, 'object')

  const last = entries.at(-1)
  const rest = entries.length > 200 ? entries.splice(100) : []
  const rows = (some) => some.map((entry) => h('li', null,
    typeof entry[0] === 'string' && [take(JSON.stringify(entry[0]), [...at, entry[0]], pick, 'key'), ': '],
    branch(entry[1], [...at, entry[0]], pick), entry !== last && ','))
  const list = h('ul', null, rows(entries))

  if (rest.length) {
    const more = h('li', null, button(`Show ${number(rest.length)} more`, () =>
      more.replaceWith(...rows(rest)), { class: 'small' }))

    list.append(more)
  }

  return [h('span', { class: 'brace' }, open), list, h('span', { class: 'brace' }, close)]
}

function take(text, at, pick, kind) {
  return pick && at.length
    ? button(text, () => pick(at), { class: `value ${kind}`, title: `Take ${pathOf(at)}` })
    : h('span', { class: `value ${kind}` }, text)
}

// the path of a place in an event, as a mapping has it
export function pathOf(at, every = false) {
  return at.map((key, i) => {
    if (typeof key === 'number') return every ? '[*]' : `[${key}]`

    // eslint-disable-next-line no-control-regex
    const plain = key && !/[.[\]"\u0000-\u001f\u007f]|^ | $/.test(key)
      && !(i === 0 && (key === 'data' || key === 'body'))

    return plain ? (i ? '.' : '') + key : `[${JSON.stringify(key)}]`
  }).join('')
}

// Lines of two documents as one: [' ', '+' or '-', line].
export function diff(before, after) {
  const a = before === null ? [] : pretty(before).split('\n')
  const b = after === null ? [] : pretty(after).split('\n')
  const lines = []
  let head = 0, tail = 0

  while (head < a.length && head < b.length && a[head] === b[head]) head++
  while (tail < a.length - head && tail < b.length - head
         && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++

  const x = a.slice(head, a.length - tail)
  const y = b.slice(head, b.length - tail)

  for (const line of a.slice(0, head)) lines.push([' ', line])
  lines.push(...middle(x, y))
  for (const line of a.slice(a.length - tail)) lines.push([' ', line])

  return lines
}

// the longest common subsequence, unless that would take too long
function middle(x, y) {
  if (x.length * y.length > 1e6) {
    return [...x.map((line) => ['-', line]), ...y.map((line) => ['+', line])]
  }

  const width = y.length + 1
  const length = new Uint32Array((x.length + 1) * width)
  const lines = []

  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      length[i * width + j] = x[i] === y[j] ? length[(i + 1) * width + j + 1] + 1
        : Math.max(length[(i + 1) * width + j], length[i * width + j + 1])
    }
  }

  for (let i = 0, j = 0; i < x.length || j < y.length; ) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      lines.push([' ', x[i++]])
      j++
    } else if (j === y.length || (i < x.length
               && length[(i + 1) * width + j] >= length[i * width + j + 1])) {
      lines.push(['-', x[i++]])
    } else {
      lines.push(['+', y[j++]])
    }
  }

  return lines
}

export function changes(label, before, after) {
  const lines = diff(before, after)
  const near = new Set()
  const rows = []
  let hidden = 0

  lines.forEach(([sign], i) => {
    if (sign !== ' ') for (let n = i - 3; n <= i + 3; n++) near.add(n)
  })

  const gap = () => {
    if (hidden) rows.push(h('div', { class: 'gap' }, `${plural(hidden, 'line')} the same`))
    hidden = 0
  }

  lines.forEach(([sign, line], i) => {
    if (!near.has(i)) return hidden++
    gap()
    rows.push(h('div', { class: sign === '+' ? 'added' : sign === '-' ? 'removed' : null },
                `${sign} ${line}`))
  })
  gap()

  return h('div', { class: 'diff mono', role: 'group', 'aria-label': label, tabindex: '0' }, rows)
}
