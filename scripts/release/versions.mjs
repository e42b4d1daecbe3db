// One version, in all the files that name it; package.json has the say.
//   node scripts/release/versions.mjs --sync     writes it into the others (`npm version` calls this)
//   node scripts/release/versions.mjs v1.2.3     ends with an error unless all agree with this tag
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fail, root } from '../steps.mjs'
import { TARGETS } from './targets.mjs'

/** File and what comes right before the version in it. */
const PLACES = [
  ['Cargo.toml', /(\[workspace\.package\]\nversion = ")[^"]+/g],
  // Members of the workspace; a crate of others has `source` after its version.
  ['Cargo.lock', /(name = "pyprof-[\w-]+"\nversion = ")[^"]+/g],
  ['fuzz/Cargo.lock', /(name = "pyprof-core"\nversion = ")[^"]+/g],
  ['package-lock.json', /(^ {2,6}"name": "pyprof-rs",\n {2,6}"version": ")[^"]+/gm],
  ...TARGETS.map(({ name }) => [`npm/${name}/package.json`, /(^ {2}"version": ")[^"]+/gm]),
]

/** Files under `folder` that name another version than its package.json, or none. */
export function differing(folder) {
  const version = versionOf(folder)
  return PLACES.filter(([file, pattern]) => {
    const found = [...readFileSync(join(folder, file), 'utf8').matchAll(pattern)]
    return found.length === 0 || found.some(([all, before]) => all !== before + version)
  }).map(([file]) => file)
}

/** Writes the version of package.json into the other files under `folder`. */
export function sync(folder) {
  const version = versionOf(folder)
  for (const [file, pattern] of PLACES) {
    const path = join(folder, file)
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(pattern, (_, before) => before + version),
    )
  }
}

/** What keeps `tag` from being a release of what is here. */
export function problemsOfTag(folder, tag) {
  const version = versionOf(folder)
  const problems = differing(folder).map((file) => `${file} does not name version ${version}`)
  if (tag !== `v${version}`) problems.push(`the tag is ${tag}, the version ${version}`)
  const heading = readFileSync(join(folder, 'CHANGELOG.md'), 'utf8').match(/^## .*$/m)?.[0]
  if (!heading?.startsWith(`## ${version} (2`))
    problems.push(`CHANGELOG.md begins with "${heading}", without a date`)
  return problems
}

function versionOf(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [argument] = process.argv.slice(2)
  if (argument === '--sync') sync(root)
  else {
    const problems = problemsOfTag(root, argument)
    if (problems.length > 0) fail(problems.join('\n'))
  }
}
