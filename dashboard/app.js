// The frame of the page: the key, the environment, and which view is shown.

import { get, remembered } from './api.js'
import { address, button, failure, field, form, h, head, keep, loading, select, submit } from './ui.js'
import { sample } from './queue.js'

const VIEWS = [
  ['sources', 'Sources'], ['events', 'Events'], ['mapping', 'Mappings'],
  ['workflows', 'Workflows'], ['logs', 'Logs'], ['commits', 'Commits'],
  ['users', 'Users'], ['test-runner', 'Test runner'], ['runs', 'Runs']
]

const top = document.getElementById('top')
const nav = document.getElementById('nav')
const main = document.getElementById('main')

let environments = []
let environment
let leave = new AbortController()


// The last environment of several is the one that customers see.
const isProduction = () => environments.length > 1 && environments.at(-1).key === environment.key

function locate() {
  const [, name, part = '', query = ''] =
    /^#\/([\w-]+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(location.hash) ?? []
  const known = VIEWS.find(([key]) => key === name)

  try {
    return known
      ? { name, title: known[1], part: decodeURIComponent(part), query: new URLSearchParams(query) }
      : null
  } catch {
    return null             // a % that encodes nothing
  }
}


async function show(focus = true) {
  const place = locate()

  if (!place) {
    location.replace('#/sources')
    return
  }

  leave.abort()
  leave = new AbortController()

  const { signal } = leave
  const context = {
    ...place, signal, environment: environment.key, environmentName: environment.name,
    environments, isProduction: isProduction(), again: () => show(false),

    go(...to) {
      const hash = address(...to)

      if (location.hash === hash) show()
      else location.hash = hash
    },

    // while this view is shown and the page can be seen
    every(seconds, work) {
      const timer = setInterval(() => document.hidden || work(), seconds * 1000)

      signal.addEventListener('abort', () => clearInterval(timer))
    }
  }

  for (const item of nav.querySelectorAll('a')) {
    if (item.hash === `#/${place.name}`) item.setAttribute('aria-current', 'page')
    else item.removeAttribute('aria-current')
  }

  closeMenu()
  document.title = `${place.title} · ${environment.name} · Knock`
  main.setAttribute('aria-busy', 'true')
  const inside = main.contains(document.activeElement)
  const late = setTimeout(() => signal.aborted || main.replaceChildren(loading()), 150)

  try {
    const { view } = await import(`./views/${place.name}.js`)
    const content = await view(context)

    if (signal.aborted) return
    keep(main, () => main.replaceChildren(...[content].flat(Infinity).filter(Boolean)))
  } catch (error) {
    if (signal.aborted) return
    main.replaceChildren(head(place.title), failure(error, () => show()))
  } finally {
    clearTimeout(late)
    if (!signal.aborted) main.removeAttribute('aria-busy')
  }

  if (focus) {
    scrollTo(0, 0)
    main.querySelector('h1')?.focus({ preventScroll: true })
  } else if (inside && !main.contains(document.activeElement)) {
    main.querySelector('h1')?.focus({ preventScroll: true })
  }
}


const menu = button('Menu', () => {
  const open = menu.getAttribute('aria-expanded') !== 'true'

  menu.setAttribute('aria-expanded', String(open))
  nav.classList.toggle('open', open)
}, { class: 'menu', 'aria-expanded': 'false', 'aria-controls': 'nav' })

function closeMenu() {
  menu.setAttribute('aria-expanded', 'false')
  nav.classList.remove('open')
}

function frame() {
  const choice = select(environments.map(({ key, name }) => [key, name]), environment.key,
                        { id: 'environment' })

  choice.addEventListener('change', () => {
    environment = environments.find(({ key }) => key === choice.value)
    remembered.set('environment', environment.key)
    frame()
    document.getElementById('environment').focus()
    show(false)
  })

  document.documentElement.dataset.environment = isProduction() ? 'production' : 'other'

  top.replaceChildren(
    h('a', { class: 'brand', href: '#/sources' }, 'Knock'),
    h('div', { class: 'environment' },
      h('label', { for: 'environment' }, 'Environment'), choice,
      isProduction() && h('strong', { class: 'live' }, 'Live')),
    menu)

  nav.hidden = false
  nav.replaceChildren(h('ul', null, VIEWS.map(([key, title]) =>
    h('li', null, h('a', { href: `#/${key}`, 'aria-current': key === locate()?.name && 'page' }, title))),
    h('li', null, button('Forget key', () => {
      remembered.forget('key')
      location.reload()
    }, { class: 'small' }))))
}


document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault()
  main.focus()
})

async function start(focus = false) {
  if (!remembered.get('key')) return login()

  try {
    environments = (await get('/environments')).items
  } catch (error) {
    if (error.status === 401 || error.status === 403) return login(error)
    return main.replaceChildren(head('Knock'), failure(error, () => start()))
  }

  environment = environments.find(({ key }) => key === remembered.get('environment')) ?? environments[0]
  frame()
  show(focus)
}

addEventListener('hashchange', () => environment && show())
addEventListener('knock:environments', () => start())

addEventListener('knock:unauthorized', () => {
  remembered.forget('key')
  if (environment) login({ message: 'The key is no longer taken. Enter one that is.' })
})

setInterval(() => {
  if (environment && !document.hidden) sample(environment.key).catch(() => {})
}, 10000)


function login(error) {
  const key = field('API key', h('input', { type: 'password', autocomplete: 'off', spellcheck: 'false' }),
    'One of those that nginx knows by knock_api_keys. It is kept until this tab is closed.')

  leave.abort()
  environment = undefined
  nav.hidden = true
  document.documentElement.dataset.environment = 'other'
  document.title = 'Knock'
  top.replaceChildren(h('span', { class: 'brand' }, 'Knock'))

  if (error) key.fail(error.message)

  main.replaceChildren(h('div', { class: 'login' },
    h('h1', { tabindex: '-1' }, 'Connect Segment to workflows'),
    form(async () => {
      const value = key.control.value.trim()

      if (!value) {
        key.fail('Enter the key.')
        return key.control.focus()
      }

      if (!/^[\x21-\x7e]+$/.test(value)) {
        key.fail('A key has neither spaces nor letters beyond ASCII.')
        return key.control.focus()
      }

      remembered.set('key', value)
      document.getElementById('status').replaceChildren()
      await start(true)
    }, key.node, submit('Open the dashboard'))))

  key.control.focus()
}

start()
