// The client of the control API, which is served beside this page.

const BASE = new URL('../v1', document.baseURI).pathname
const etags = new WeakMap()

// what the API says of it is for programs
const STALE = 'Somebody else has changed this since it was loaded, so nothing was changed now. '
  + 'Load the page again to see it.'

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message)
    this.status = status
    this.code = code
  }
}

// what this tab remembers, and no longer than the tab
export const remembered = {
  get: (name) => sessionStorage.getItem(`knock.${name}`) ?? '',
  set: (name, value) => sessionStorage.setItem(`knock.${name}`, value),
  forget: (name) => sessionStorage.removeItem(`knock.${name}`)
}

// path`/users/${id}` with what is filled in encoded
export function path(strings, ...values) {
  return strings.reduce((text, part, i) =>
    text + encodeURIComponent(values[i - 1]) + part)
}

// Numbers that JavaScript would write otherwise (2.0, 12345678901234567890)
// keep their text, where the browser can do that.
export function parse(text) {
  if (!JSON.rawJSON) return JSON.parse(text)

  return JSON.parse(text, (key, value, { source }) =>
    typeof value === 'number' && String(value) !== source
      ? JSON.rawJSON(source) : value)
}

export const isRaw = (value) => JSON.isRawJSON?.(value) ?? false

export async function call(method, url, { query, body, match, signal } = {}) {
  const search = new URLSearchParams()

  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== '' && value !== null && value !== undefined) search.set(name, value)
  }

  const headers = { Authorization: `Bearer ${remembered.get('key')}` }
  const etag = match && etags.get(match)

  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (etag) headers['If-Match'] = etag

  let response, text

  try {
    response = await fetch(BASE + url + (search.size ? `?${search}` : ''), {
      method, headers, signal, cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body)
    })
    text = await response.text()
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new ApiError(0, 'unreachable',
                       'The server cannot be reached. Check the connection, then try again.')
  }

  let data = null

  try {
    data = text ? parse(text) : null
  } catch {
    throw new ApiError(response.status, 'no_json', `The server answered ${response.status}, and no JSON.`)
  }

  if (!response.ok) {
    const { code = 'error', message = `The server answered ${response.status}.` } = data?.error ?? {}

    if (response.status === 401) dispatchEvent(new Event('knock:unauthorized'))
    throw new ApiError(response.status, code, code === 'stale' ? STALE : message)
  }

  if (data && response.headers.get('ETag')) etags.set(data, response.headers.get('ETag'))

  return data
}

export const get = (url, query, signal) => call('GET', url, { query, signal })
export const post = (url, body = {}, match) => call('POST', url, { body, match })
export const put = (url, body, match) => call('PUT', url, { body, match })
export const patch = (url, body, match) => call('PATCH', url, { body, match })
export const remove = (url, match) => call('DELETE', url, { match })

// the resource, or null where there is none
export async function find(url) {
  try {
    return await get(url)
  } catch (error) {
    if (error.status === 404) return null
    throw error
  }
}

// all elements of a list that is known to be short
export async function all(url, query) {
  const items = []
  let page

  do {
    page = await get(url, { limit: 1000, ...query, cursor: page?.cursor })
    items.push(...page.items)
  } while (page.cursor)

  return items
}
