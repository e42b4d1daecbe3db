// The packages as they are published. The checkout's package.json is not one of them: it is private, has no
// `optionalDependencies` (npm ci could not resolve packages that are not published yet) and names the tools of
// development. What users get is put together here, and only here.
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../steps.mjs'
import { addonFile, TARGETS } from './targets.mjs'

/** What of the checkout's package.json is of use to users. */
const PUBLIC_FIELDS = [
  'name',
  'version',
  'description',
  'license',
  'repository',
  'homepage',
  'bugs',
  'keywords',
  'type',
  'engines',
  'bin',
  'exports',
  'types',
  'files',
  'dependencies',
]

export function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'))
}

export function packageName(target) {
  return `pyprof-rs-${target}`
}

/** The root package, from dist/ as it was built, into `folder`. */
export function stageRoot(folder) {
  const own = readJson('package.json')
  const manifest = Object.fromEntries(PUBLIC_FIELDS.map((field) => [field, own[field]]))
  // Exact: an addon and the code that calls it are one thing.
  manifest.optionalDependencies = Object.fromEntries(
    TARGETS.map(({ name }) => [packageName(name), own.version]),
  )
  const parts = [...own.files, 'README.md', 'LICENSE']
  for (const part of parts) cpSync(join(root, part), join(folder, part), { recursive: true })
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** The package of one platform, with the addon at `addon`, into `folder`. */
export function stagePlatform(name, addon, folder) {
  mkdirSync(folder, { recursive: true })
  for (const [from, to] of [
    [`npm/${name}/package.json`, 'package.json'],
    [`npm/${name}/README.md`, 'README.md'],
    ['LICENSE', 'LICENSE'],
    [addon, addonFile(name)],
  ]) {
    const target = join(folder, to)
    mkdirSync(dirname(target), { recursive: true })
    copyFileSync(join(root, from), target)
  }
}
