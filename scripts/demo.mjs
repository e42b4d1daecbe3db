// npm run demo: installs, builds, records examples/demo.py and says where the result is.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, fail, install, needRustAndNode, root } from './steps.mjs'

const PYTHON_MISSING =
  'Python is missing: install CPython 3.8 or newer, for example by `apt install python3` or from https://www.python.org.'

needRustAndNode()
const python = findPython() ?? fail(PYTHON_MISSING)
install()
build()

const { record } = await import('../dist/index.js')
const folder = join(root, 'demo-output')
mkdirSync(folder, { recursive: true })

console.log(`\n== Recording ${python} examples/demo.py for about 10 seconds`)
let profile
try {
  profile = await record({ command: python, args: [join(root, 'examples/demo.py')], idle: false })
} catch (error) {
  fail(`The demo could not be recorded: ${error.message}`)
}

const files = [
  [
    'demo.speedscope.json',
    profile.to('speedscope', { threads: true }),
    'npx speedscope demo-output/demo.speedscope.json, or open it at https://www.speedscope.app',
  ],
  ['demo.collapsed', profile.to('collapsed'), 'flamegraph.pl demo-output/demo.collapsed > flame.svg'],
  ['demo.pb.gz', profile.to('pprof'), 'go tool pprof -http=: demo-output/demo.pb.gz'],
]
for (const [name, content] of files) writeFileSync(join(folder, name), content)

const { stats } = profile
console.log(
  `\nCPython ${profile.pythonVersion}: ${stats.samples} samples, ${stats.cut} of them cut short, ` +
    `${(stats.cpuNs / 1e9).toFixed(2)} s of CPU used by the profiler.`,
)
console.log('\nThe hottest functions (self: its own time; total: with what it called):\n')
console.log('   self   total  function')
for (const fn of profile.hottest(10)) {
  const where = fn.file ? ` (${fn.file}${fn.firstLine ? `:${fn.firstLine}` : ''})` : ''
  console.log(`${percent(fn.selfShare)} ${percent(fn.totalShare)}  ${fn.name}${where}`)
}
console.log('\nThe result:')
for (const [name, , how] of files) console.log(`  ${join(folder, name)}\n      ${how}`)

function percent(share) {
  return `${(100 * share).toFixed(1)}%`.padStart(7)
}

/** A real path, not a version manager's script: the program that is started must be Python itself. */
function findPython() {
  for (const name of ['python3', 'python', '/usr/bin/python3']) {
    const code = 'import sys; print(sys.executable if sys.version_info >= (3, 8) else "")'
    const { stdout } = spawnSync(name, ['-c', code], { encoding: 'utf8' })
    if (stdout?.trim()) return stdout.trim()
  }
}
