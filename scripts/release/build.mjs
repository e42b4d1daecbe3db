// npm run build:all: the addon for every machine of a release, into npm/<platform>/, and dist/.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, install, needRustAndNode, provideClang, root, step } from '../steps.mjs'
import { problemsOf } from './elf.mjs'
import { addonPath, GLIBC, TARGETS, zigTriple } from './targets.mjs'
import { provideToolchain } from './toolchain.mjs'

needRustAndNode()
install()
// A release has the exact engine.
const noClang = provideClang()
if (noClang) fail(noClang)
const env = provideToolchain()

for (const target of TARGETS) {
  const args = ['run', 'build:native', '--', '-x', '--target', zigTriple(target)]
  // The types are the same for every target: build:native writes them where they belong, seen from the top folder.
  args.push('--output-dir', `npm/${target.name}`, '--dts', '../../crates/pyprof-node/native.d.ts')
  step(`Building for ${target.name}`, 'npm', args, { env })
}
step('Building dist/', 'npm', ['run', 'build:ts'])

let wrong = 0
for (const target of TARGETS) {
  const problems = problemsOf(readFileSync(join(root, addonPath(target.name))), target, GLIBC)
  console.log(`${addonPath(target.name)}: ${problems.join(', ') || 'fits'}`)
  wrong += problems.length
}
if (wrong > 0) fail('These addons would not load everywhere they should.')
