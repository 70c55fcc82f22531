// How long the queue of runs was, while this page was open.

import { get, path } from './api.js'

const LENGTH = 720
const histories = new Map()

export function history(environment) {
  if (!histories.has(environment)) histories.set(environment, [])

  return histories.get(environment)
}

export async function sample(environment) {
  return note(environment, await get(path`/environments/${environment}/runs`, { limit: 1 }))
}

export function note(environment, { length, oldest_at }) {
  const points = history(environment)
  const at = Date.now()
  const point = { at, length, age: oldest_at ? Math.max(0, (at - new Date(oldest_at)) / 1000) : 0 }

  points.push(point)
  if (points.length > LENGTH) points.shift()

  return point
}
