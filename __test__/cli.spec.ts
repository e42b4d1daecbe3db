/** The command line apart from the addon: usage, statuses, output. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { STATUSES } from '../src/cli/exit.js'
import { COMMANDS, parseDuration } from '../src/cli/options.js'
import { ERROR_CODES } from '../src/errors.js'
import { fakeCli } from './helpers/cli.js'

for (const args of [
  [],
  ['frobnicate'],
  ['--frobnicate'],
  ['help', 'frobnicate'],
  ['ps', '--frobnicate'],
  ['ps', '1'],
  ['dump'],
  ['dump', 'x'],
  ['dump', '1', '2'],
  ['dump', '-p', '0'],
  ['record'],
  ['record', '--'],
  ['record', '1', '--', 'python3'],
  ['record', 'python3', 'app.py'],
  ['record', '1', '-r', '0'],
  ['record', '1', '-r', 'fast'],
  ['record', '1', '-r'],
  ['record', '1', '-d', '5 minutes'],
  ['record', '1', '-d', '0'],
  ['record', '1', '--mode', 'real'],
  ['record', '1', '--engine', 'best'],
  ['record', '1', '-f', 'svg'],
  ['record', '1', '-o', 'result.xyz'],
  ['top'],
  ['top', '--'],
  ['top', 'x'],
  ['top', '1', '--', 'python3'],
  ['top', '1', '-r', '0'],
  ['top', '1', '-i', '1ms'],
  ['top', '1', '-i', 'soon'],
  ['top', '1', '-n', '0'],
  ['top', '1', '--limit', 'all'],
  ['top', '1', '--view', 'flames'],
  ['top', '1', '--sort', 'self-later'],
  ['top', '1', '--view', 'threads', '--sort', 'self-now'],
  ['top', '1', '--mode', 'real'],
  ['top', '1', '--engine', 'perf-user'],
  ['top', '1', '--mode', 'cpu', '--idle'],
]) {
  test(`wrong use ends with status 2 and says why: pyprof-rs ${args.join(' ')}`, async (t) => {
    const { status, stdout, stderr } = await fakeCli(t, args, {}).done
    t.is(status, 2)
    t.is(stdout, '')
    t.regex(
      stderr,
      args.length === 0 ? /^pyprof-rs looks into/ : /^pyprof-rs: .+\nSee `pyprof-rs help( \w+)?`\.\n$/,
    )
  })
}

test('every option is in the help of its command', async (t) => {
  for (const [name, { options }] of Object.entries(COMMANDS)) {
    const { status, stdout } = await fakeCli(t, ['help', name], {}).done
    t.is(status, 0)
    for (const long of Object.keys(options)) t.true(stdout.includes(`--${long}`), `${name} --${long}`)
    t.true(
      stdout.split('\n').every((line) => line.length <= 80),
      name,
    )
    t.is((await fakeCli(t, [name, '--help'], {}).done).stdout, stdout)
  }
})

test('--help lists every exit status, the README lists them and every error code too', async (t) => {
  const { stdout } = await fakeCli(t, ['--help'], {}).done
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  for (const { status, meaning } of STATUSES) {
    t.true(stdout.includes(meaning), meaning)
    t.regex(readme, new RegExp(`\\| ${status} +\\|[^\\n]*${meaning}`))
  }
  for (const code of Object.keys(ERROR_CODES)) t.true(readme.includes(code), code)
})

test('--version is the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  t.is((await fakeCli(t, ['--version'], {}).done).stdout, `pyprof-rs ${version}\n`)
})

test('every error code has an exit status of its own or is an unexpected error', (t) => {
  t.deepEqual(STATUSES.flatMap(({ codes }) => codes).sort(), Object.keys(ERROR_CODES).sort())
})

for (const { status, codes } of STATUSES) {
  for (const code of codes) {
    test(`${code} ends dump with status ${status}`, async (t) => {
      const fail = code.replace('ERR_PYPROF_', '')
      const result = await fakeCli(t, ['dump', '1'], { fail }).done
      t.is(result.status, status)
      t.is(result.stderr, `pyprof-rs: fake ${fail}\n`)
    })
  }
}

test('durations', (t) => {
  t.is(parseDuration('10'), 10_000)
  t.is(parseDuration('500ms'), 500)
  t.is(parseDuration('1.5m'), 90_000)
  t.is(parseDuration('1h'), 3_600_000)
  for (const wrong of ['', '-1', '1d', 'ms', '0s', '1e3'])
    t.throws(() => parseDuration(wrong), undefined, wrong)
})

const PROCESS = {
  pid: 7,
  pythonVersion: '3.12.1',
  uid: 0,
  user: 'root',
  threads: 2,
  cpuNs: 61e9,
  uptimeNs: 3 * 3600e9,
  executable: '/usr/bin/python3',
  command: ['python3', 'a\u001b[31m.py'],
}
const DENIED = {
  ...PROCESS,
  pid: 8,
  pythonVersion: undefined,
  obstacle: { code: 'ERR_PYPROF_PERMISSION', message: 'not allowed; use sudo' },
}

test('ps shows who can be profiled and why not, and no control characters', async (t) => {
  const { status, stdout } = await fakeCli(t, ['ps'], { processes: [PROCESS, DENIED] }).done
  t.is(status, 0)
  const lines = stdout.split('\n')
  t.regex(lines[0]!, /PID +PYTHON +USER +THREADS +CPU +UP +PROFILE +COMMAND/)
  t.regex(lines[1]!, /7 +3\.12\.1 +root +2 +1m01s +3h00m +yes +python3 a\\x1b\[31m\.py$/)
  t.regex(lines[2]!, /8 +\? +root .* no +python3/)
  t.true(stdout.includes('  8: not allowed; use sudo\n'))
})

test('ps --json', async (t) => {
  const { stdout } = await fakeCli(t, ['ps', '--json'], { processes: [PROCESS, DENIED] }).done
  const { schemaVersion, processes } = JSON.parse(stdout)
  t.is(schemaVersion, 1)
  t.is(processes[0].obstacle, null)
  t.is(processes[1].pythonVersion, null)
  t.is(processes[1].obstacle.code, 'ERR_PYPROF_PERMISSION')
})

test('a reader that closes the pipe early is no error', async (t) => {
  const child = fakeCli(t, ['ps', '--json'], { processes: Array(300).fill(PROCESS) })
  child.process.stdout.destroy()
  const { status, stderr } = await child.done
  t.is(stderr, '')
  t.is(status, 0)
})
