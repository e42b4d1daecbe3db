// What demo and test share. Only what comes with Node: they run before anything is installed.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Ends with one sentence when a tool is missing. */
export function need(command, sentence) {
  const { error } = spawnSync(command, ['--version'], { stdio: 'ignore' })
  if (error) fail(sentence)
}

export function needRustAndNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node ${process.versions.node} is too old: get Node 20.19 or newer from https://nodejs.org.`)
  }
  need(
    'cargo',
    "Rust is missing: get it from https://rustup.rs (curl --proto '=https' -sSf https://sh.rustup.rs | sh).",
  )
}

export function fail(sentence) {
  console.error(sentence)
  process.exit(1)
}

/** Runs a step with its output shown; ends the script when it fails. */
export function step(title, command, args, options = {}) {
  console.log(`\n== ${title}`)
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) fail(`${command} could not be started: ${error.message}`)
  if (status !== 0) fail(`${title} failed: ${[command, ...args].join(' ')}`)
}

/** Installs what the lock file says, unless that is there already. */
export function install() {
  if (lockOf('package-lock.json') === lockOf('node_modules/.package-lock.json')) return
  step('Installing the npm packages', 'npm', ['ci'])
}

/** Names and versions in a lock file; npm writes more into the one than into the other. */
function lockOf(path) {
  const file = `${root}/${path}`
  if (!existsSync(file)) return `no ${path}`
  const { packages } = JSON.parse(readFileSync(file, 'utf8'))
  const wanted = Object.entries(packages).filter(([name, entry]) => name && !entry.optional)
  return JSON.stringify(wanted.map(([name, { version }]) => [name, version]).sort())
}

/** clang makes the BPF program of the exact engine. Installs it where that is possible; returns why not, or nothing. */
export function provideClang() {
  const quiet = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }
  const works = (command, args) => spawnSync(command, args, quiet).status === 0
  if (works(process.env.CLANG ?? 'clang', ['--version'])) return
  if (process.getuid() !== 0) return 'exact engine: no clang, and only root can install it'
  const installed = works('apt-get', ['update']) && works('apt-get', ['install', '-y', 'clang'])
  if (!installed) return 'exact engine: clang cannot be installed'
}

export function build() {
  step('Building', 'npm', ['run', 'build'])
}

/** Runs a command, shows its output and returns it with the status. */
export function watch(title, command, args, options = {}) {
  console.log(`\n== ${title}`)
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options })
    let output = ''
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.on('data', (chunk) => {
        output += chunk
        to.write(chunk)
      })
    }
    child.on('error', (error) => resolve({ status: 1, output: `${output}\n${error.message}` }))
    child.on('close', (status) => resolve({ status, output }))
  })
}
