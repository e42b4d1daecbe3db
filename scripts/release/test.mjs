// npm run test:release: builds what a release consists of, tests it on every kind of machine that can be had here, and
// leaves the tarballs in release/. `--built` takes the addons that are in npm/ already.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPythons } from '../pythons.mjs'
import { fail, install, needRustAndNode, root, step } from '../steps.mjs'
import { coreTests, formatTests, useEmulated } from './arm64.mjs'
import { problemsOf } from './elf.mjs'
import { emulator, gnuNode, muslNode, NODES, NotHere } from './nodes.mjs'
import * as pack from './pack.mjs'
import { Project } from './project.mjs'
import { serve } from './registry.mjs'
import { smoke, startTarget } from './smoke.mjs'
import { readJson } from './stage.mjs'
import { addonPath, GLIBC, TARGETS } from './targets.mjs'

if (process.arch !== 'x64') fail('The release is tested on x86-64, where arm64 is emulated.')
needRustAndNode()
install()
if (!process.argv.includes('--built')) step('Building', 'npm', ['run', 'build:all'])
const [python] = findPythons().filter(({ sid }) => !sid)
if (!python) fail('Python is missing: install CPython 3.8 or newer, for example by `apt install python3`.')

const { version, dependencies } = readJson('package.json')
const out = join(root, 'release')
rmSync(out, { recursive: true, force: true })
const scratch = mkdtempSync(join(tmpdir(), 'pyprof-release-'))
const needed = Object.keys(dependencies).map((name) =>
  pack.packFolder(join(root, 'node_modules', name), scratch),
)
const rootTarball = pack.packRoot(out)
const tarballs = new Map(TARGETS.map(({ name }) => [name, pack.packPlatform(name, addonPath(name), out)]))

let passed = 0
const failed = []
const skipped = []

/** `body` returns what is wrong, one sentence each. */
async function check(title, body) {
  const start = performance.now()
  let problems
  try {
    problems = (await body()) ?? []
  } catch (error) {
    if (error instanceof NotHere) {
      skipped.push(title)
      console.log(`skipped: ${title}: ${error.message}`)
      return
    }
    problems = [error.stack]
  }
  if (problems.length > 0) failed.push(title)
  else passed++
  console.log(
    `${problems.length > 0 ? 'FAILED' : 'ok'}  ${title} (${((performance.now() - start) / 1e3).toFixed(1)} s)`,
  )
  for (const problem of problems) console.log(`    ${problem.replaceAll('\n', '\n    ')}`)
}

const registry = await serve([rootTarball, ...tarballs.values(), ...needed])

/** An empty folder where npm, run by the Node that runs this, has installed what `target` needs, for another Node. */
async function installed(target, node) {
  const folder = mkdtempSync(join(scratch, 'project-'))
  const [, cpu, libc] = target.split('-')
  const machine = ['--os=linux', `--cpu=${cpu}`, `--libc=${libc === 'gnu' ? 'glibc' : libc}`]
  await new Project(folder).install('--registry', registry.url, ...machine, 'pyprof-rs')
  return new Project(folder, node)
}

for (const target of TARGETS) {
  await check(`${target.name}: loads on every machine it is for (glibc ${GLIBC})`, () =>
    problemsOf(readFileSync(join(root, addonPath(target.name))), target, GLIBC),
  )
  await check(`${target.name}: what is in the tarball, and how large the download is`, () => {
    const files = pack.filesOf(tarballs.get(target.name))
    const size = pack.sizeOf(rootTarball) + pack.sizeOf(tarballs.get(target.name))
    const wrong = files.join() === pack.platformFiles(target.name).join() ? [] : [files.join(', ')]
    return size < pack.DOWNLOAD_LIMIT ? wrong : [...wrong, `${size} bytes`]
  })
}

const target = await startTarget(python)
try {
  for (const node of NODES) {
    await check(`linux-x64-gnu on Node ${node}`, async () =>
      smoke(await installed('linux-x64-gnu', { node: gnuNode('x64', node) }), target.pid, version),
    )
  }
  await check('linux-x64-musl on a Node with musl', async () =>
    smoke(await installed('linux-x64-musl', { node: muslNode('x64').node }), target.pid, version),
  )
  for (const node of NODES) {
    await check(`linux-arm64-gnu on an emulated Node ${node}`, async () => {
      const launcher = emulator()
      return useEmulated(
        await installed('linux-arm64-gnu', { node: gnuNode('arm64', node), launcher }),
        target.pid,
        version,
      )
    })
  }
  await check('linux-arm64-musl on an emulated Node with musl', async () => {
    const { node, sysroot } = muslNode('arm64')
    const launcher = emulator(sysroot)
    return useEmulated(await installed('linux-arm64-musl', { node, launcher }), target.pid, version)
  })
} finally {
  target.kill()
}
await check('the formats on an emulated arm64 Node', () =>
  formatTests(emulator(), gnuNode('arm64', NODES.at(-1))),
)
await check("the core's own tests, compiled for arm64, emulated", () => coreTests(emulator()))

await registry.close()
rmSync(scratch, { recursive: true, force: true })
console.log(`\n== release/: ${readdirSync(out).join(', ')}`)
console.log('Not tested here: reading the memory of other processes on arm64, which the emulator cannot do.')
console.log(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`)
process.exitCode = failed.length > 0 ? 1 : 0
