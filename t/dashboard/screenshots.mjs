// Pictures of every view, light and dark, wide and narrow.

import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open, populate, start } from './stand.mjs'
import { VIEWS } from './views.mjs'

const to = process.env.KNOCK_SCREENSHOTS ?? fileURLToPath(new URL('../../docs/screenshots', import.meta.url))
const stand = await start()

try {
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(to)) if (name.endsWith('.png')) rmSync(join(to, name))

  await populate(stand)

  for (const scheme of ['light', 'dark']) {
    for (const [size, width, height] of [['wide', 1040, 640], ['narrow', 380, 640]]) {
      const page = await stand.page({ width, height, scheme })
      const shoot = (name) => page.screenshot({ path: join(to, `${name}-${scheme}-${size}.png`) })

      for (const [name, hash] of VIEWS) {
        await open(page, stand.dashboard, hash)

        if (name === 'logs') await page.locator('.entry', { hasText: 'left out' }).first().locator('summary').click()
        if (name === 'mapping') await page.locator('.chip').first().waitFor()
        if (name === 'event') await page.getByRole('button', { name: '"recipients"' }).click()
        if (name === 'runs') await page.waitForTimeout(3500)
        await page.evaluate(() => { scrollTo(0, 0); document.activeElement?.blur() })
        await shoot(name)
      }

      await page.context().close()
    }
  }

  const page = await stand.page()

  await open(page, stand.dashboard, '#/commits')
  await page.getByLabel('Environment', { exact: true }).selectOption('production')
  await open(page, stand.dashboard, '#/mapping')
  await page.screenshot({ path: join(to, 'production.png') })
} finally {
  await stand.stop()
}
