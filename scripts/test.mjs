// npm test: installs, builds, provides the Pythons it can get, runs every test, names what was skipped.
import { join } from 'node:path'
import { FREE_THREADED, provideFreeThreaded } from './free-threaded.mjs'
import { providePrograms } from './programs.mjs'
import { findPythons, MINORS, provide } from './pythons.mjs'
import { build, install, needRustAndNode, provideClang, root, watch } from './steps.mjs'

needRustAndNode()
install()
const skipped = []
const noClang = provideClang()
if (noClang) skipped.push(noClang)
build()

const problem = provide()
if (problem) skipped.push(problem)
// Compiling them takes longer than all tests together.
if (process.env.PYPROF_FREE_THREADED === '1') skipped.push(...provideFreeThreaded())
const pythons = findPythons()
console.log(`\n== Pythons: ${pythons.map(({ name }) => name).join(', ') || 'none'}`)
for (const minor of MINORS) {
  if (!pythons.some(({ version }) => version === `3.${minor}`)) skipped.push(`CPython 3.${minor}: not found`)
}
for (const { version } of FREE_THREADED) {
  if (!pythons.some((python) => python.version + python.abi === version))
    skipped.push(
      `CPython ${version}: not found (PYPROF_FREE_THREADED=1 compiles it where Debian has its source)`,
    )
}

const programs = providePrograms()
if (programs) skipped.push(programs)

let passed = 0
let failed = 0

const cargo = await watch(
  'Rust tests',
  'cargo',
  ['test', '--workspace', '--profile', 'checked', '--no-fail-fast'],
  {
    env: { ...process.env, CARGO_TERM_COLOR: 'never' },
  },
)
for (const [, ok, bad, ignored] of cargo.output.matchAll(
  /^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/gm,
)) {
  passed += Number(ok)
  failed += Number(bad)
  if (Number(ignored) > 0)
    skipped.push(`${ignored} Rust tests that only run when asked for (cargo test -- --ignored)`)
}
// A crate that does not compile has no result line.
if (cargo.status !== 0 && !/^test result: FAILED/m.test(cargo.output)) failed++

const ava = await watch('Package tests', 'npx', ['ava', '--tap'], {
  // The sampler by itself, which `cargo test` has built.
  env: { PYPROF_STACKS: join(root, 'target/checked/examples/stacks'), ...process.env, NO_COLOR: '1' },
})
for (const [, bad, name, directive] of ava.output.matchAll(
  /^(not )?ok \d+ - (.*?)( # (?:SKIP|TODO).*)?$/gm,
)) {
  if (directive) skipped.push(name)
  else if (bad) failed++
  else passed++
}
if (ava.status !== 0 && !/^not ok/m.test(ava.output)) failed++

for (const [, name] of `${cargo.output}\n${ava.output}`.matchAll(/^(?:# +)?skipped: (.*)$/gm))
  skipped.push(name)
console.log(`\n== Skipped: ${skipped.length === 0 ? 'nothing' : ''}`)
for (const name of new Set(skipped)) console.log(`  ${name}`)
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
