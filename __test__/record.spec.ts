/** `record` apart from the addon: where results go, who gets signals, whose status it is. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Child, fakeCli, PROGRAM, temporaryFolder } from './helpers/cli.js'

const PYTHON = '/usr/bin/python3'
const withPython = existsSync(PYTHON) ? test : test.skip
const COLLAPSED = /^f \(a\.py:1\) 1000$/m

/** A process to attach to that does nothing. */
function target(t: ExecutionContext): string {
  return String(new Child(t, process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], {}).process.pid)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} ends a recording and keeps what was seen`, async (t) => {
    const cwd = temporaryFolder(t)
    const child = fakeCli(t, ['record', target(t), '-o', 'out.collapsed'], {}, cwd)
    await child.says('recording')
    t.false(existsSync(join(cwd, 'out.collapsed')), 'nothing half-written')
    child.process.kill(signal)
    const { status, stderr } = await child.done
    t.is(status, 0)
    t.regex(readFileSync(join(cwd, 'out.collapsed'), 'utf8'), COLLAPSED)
    t.deepEqual(readdirSync(cwd), ['out.collapsed'])
    t.regex(stderr, /1 samples in 1\.0s \(stopped\)/)
    t.regex(stderr, /Result: out\.collapsed/)
  })
}

test('the end of the target ends the recording', async (t) => {
  const cwd = temporaryFolder(t)
  const other = new Child(t, process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1e6)'], {})
  await other.says('up')
  const child = fakeCli(t, ['record', '-p', String(other.process.pid), '-o', 'out.json', '-q'], {}, cwd)
  await child.says('recording')
  other.process.kill('SIGKILL')
  const { status, stderr } = await child.done
  t.is(status, 0)
  t.is(stderr, 'recording\n', '-q keeps quiet')
  t.is(JSON.parse(readFileSync(join(cwd, 'out.json'), 'utf8')).exporter, 'pyprof-rs')
})

test('without -o the result gets a name of its own', async (t) => {
  const cwd = temporaryFolder(t)
  const pid = target(t)
  t.is((await fakeCli(t, ['record', pid, '-d', '1ms'], {}, cwd).done).status, 0)
  const [name, ...more] = readdirSync(cwd)
  t.deepEqual(more, [])
  t.regex(name!, new RegExp(`^pyprof-${pid}-\\d{8}-\\d{6}\\.speedscope\\.json$`))
})

test('the format follows the name', async (t) => {
  const cwd = temporaryFolder(t)
  const pid = target(t)
  for (const [name, start] of [
    ['a.folded', 'f '],
    ['a.speedscope.json', '{"$schema"'],
    ['a.pb.gz', '\x1f\x8b'],
    ['a.pprof', '\x1f\x8b'],
  ] as const) {
    await fakeCli(t, ['record', pid, '-d', '1ms', '-o', name], {}, cwd).done
    t.true(readFileSync(join(cwd, name), 'latin1').startsWith(start), name)
  }
})

test('an unwritable output is told before anything is recorded', async (t) => {
  const cwd = temporaryFolder(t)
  mkdirSync(join(cwd, 'folder.json'))
  const pid = target(t)
  for (const [name, reason] of [
    ['none/out.json', 'its folder does not exist'],
    ['folder.json', 'it is a folder'],
    ['/proc/out.json', ''],
    [`${'x'.repeat(300)}.json`, 'its name is too long'],
  ] as const) {
    const { status, stderr } = await fakeCli(t, ['record', pid, '-o', name], {}, cwd).done
    t.is(status, 7, name)
    t.true(stderr.startsWith(`pyprof-rs: cannot write ${name}: ${reason}`), stderr)
  }
  t.deepEqual(readdirSync(cwd), ['folder.json'])
})

test('a full disk is an error and leaves the old result as it was', async (t) => {
  const cwd = temporaryFolder(t)
  const disk = join(cwd, 'disk')
  mkdirSync(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'pyprof-test', disk], { stdio: 'ignore' })
  } catch {
    t.log('skipped: full disk (mounting needs root)')
    t.pass()
    return
  }
  t.teardown(() => execFileSync('umount', ['-l', disk]))
  writeFileSync(join(disk, 'out.collapsed'), 'old\n')
  const args = ['record', target(t), '-d', '1ms', '-o', 'out.collapsed']
  const { status, stderr } = await fakeCli(t, args, { nameLength: 200_000 }, disk).done
  t.is(status, 7)
  t.true(stderr.endsWith('pyprof-rs: cannot write out.collapsed: the disk is full\n'), stderr)
  t.deepEqual(readdirSync(disk), ['out.collapsed'])
  t.is(readFileSync(join(disk, 'out.collapsed'), 'utf8'), 'old\n')
})

test('a link stays a link', async (t) => {
  const cwd = temporaryFolder(t)
  writeFileSync(join(cwd, 'real.collapsed'), 'old\n')
  chmodSync(join(cwd, 'real.collapsed'), 0o644)
  symlinkSync('real.collapsed', join(cwd, 'link.collapsed'))
  await fakeCli(t, ['record', target(t), '-d', '1ms', '-o', 'link.collapsed'], {}, cwd).done
  t.true(lstatSync(join(cwd, 'link.collapsed')).isSymbolicLink())
  t.regex(readFileSync(join(cwd, 'real.collapsed'), 'utf8'), COLLAPSED)
})

test('-o - writes to standard output and nothing else does', async (t) => {
  const { stdout, status } = await fakeCli(
    t,
    ['record', target(t), '-d', '1ms', '-f', 'collapsed', '-o', '-'],
    {},
  ).done
  t.is(stdout, 'f (a.py:1) 1000\n')
  t.is(status, 0)
})

test('-o - into a closed pipe is no error', async (t) => {
  const child = fakeCli(t, ['record', target(t), '-d', '1ms', '-o', '-', '-q'], { nameLength: 1_000_000 })
  child.process.stdout.destroy()
  const { status, stderr } = await child.done
  t.is(stderr, 'recording\n')
  t.is(status, 0)
})

test('a failed start leaves no file', async (t) => {
  const cwd = temporaryFolder(t)
  t.is((await fakeCli(t, ['record', '1', '-o', 'out.json'], { fail: 'PERMISSION' }, cwd).done).status, 5)
  t.deepEqual(readdirSync(cwd), [])
})

test('waiting threads that were left out are mentioned', async (t) => {
  const { stderr } = await fakeCli(t, ['record', target(t), '-d', '1ms', '-o', '/dev/null', '-f', 'pprof'], {
    idle: 1234,
  }).done
  t.regex(stderr, /left out: 1,234 stacks of waiting threads; --idle shows them/)
})

withPython('a program keeps its standard streams, and its status becomes ours', async (t) => {
  const cwd = temporaryFolder(t)
  const echo = fakeCli(t, ['record', '-o', 'o.json', '--', PYTHON, PROGRAM, 'echo'], {}, cwd)
  await echo.says('ready')
  echo.process.stdin.write('hello\n')
  const { stdout, status } = await echo.done
  t.is(stdout, 'ready\nhello\n')
  t.is(status, 0)
  t.deepEqual(readdirSync(cwd), ['o.json'])

  t.is(
    (await fakeCli(t, ['record', '-o', 'p.json', '--', PYTHON, PROGRAM, 'exit', '3'], {}, cwd).done).status,
    3,
  )
})

withPython('signals reach the program; one that it dies of becomes 128 and its number', async (t) => {
  const cwd = temporaryFolder(t)
  for (const [signal, expected] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    const child = fakeCli(t, ['record', '-o', `${signal}.json`, '--', PYTHON, PROGRAM, 'wait'], {}, cwd)
    await child.says('ready')
    await child.says('recording')
    child.process.kill(signal)
    t.is((await child.done).status, expected)
    t.true(existsSync(join(cwd, `${signal}.json`)), 'what was seen is kept')
  }
})

withPython('a program may catch signals and choose its status', async (t) => {
  const child = fakeCli(t, ['record', '-o', '/dev/null', '-f', 'pprof', '--', PYTHON, PROGRAM, 'catch'], {})
  await child.says('ready')
  await child.says('recording')
  child.process.kill('SIGUSR1')
  await child.says('usr1')
  child.process.kill('SIGTERM')
  t.is((await child.done).status, 42)
})

withPython('after the duration the program goes on, and its status still becomes ours', async (t) => {
  const cwd = temporaryFolder(t)
  const child = fakeCli(t, ['record', '-d', '1ms', '-o', 'o.json', '--', PYTHON, PROGRAM, 'catch'], {}, cwd)
  await child.says('Result: o.json')
  await child.says('ready')
  t.is(child.process.exitCode, null)
  child.process.kill('SIGTERM')
  t.is((await child.done).status, 42)
})

withPython('when recording fails the program gets SIGTERM, and the failure is the status', async (t) => {
  const child = fakeCli(t, ['record', '-o', '/dev/null', '-f', 'pprof', '--', PYTHON, PROGRAM, 'wait'], {
    fail: 'NOT_PYTHON',
  })
  const { status, stderr } = await child.done
  t.is(status, 4)
  t.is(stderr, 'pyprof-rs: fake NOT_PYTHON\n')
})

withPython('a program that ends before anything was seen', async (t) => {
  const cwd = temporaryFolder(t)
  const run = (code: string) =>
    fakeCli(t, ['record', '-o', 'o.json', '--', PYTHON, PROGRAM, 'exit', code], { samples: 0 }, cwd).done
  const { status, stderr } = await run('0')
  t.is(status, 8)
  t.regex(stderr, /the target ended before anything was seen/)
  t.is((await run('5')).status, 5, "the program's own failure comes first")
  t.deepEqual(readdirSync(cwd), [])
})

test('a program that cannot be started', async (t) => {
  const { status, stderr } = await fakeCli(
    t,
    ['record', '-o', '/dev/null', '-f', 'pprof', '--', 'no-such-program-here'],
    {},
  ).done
  t.is(status, 127)
  t.is(
    stderr,
    'pyprof-rs: cannot start no-such-program-here: no such program; give its path, or check PATH\n',
  )
})
