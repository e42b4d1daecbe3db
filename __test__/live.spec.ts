/** The whole way, from the command line to a real Python and back, on every Python there is. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { AbortError, PyprofError, processes, record, snapshot } from '../src/index.js'
import { Child, cli, temporaryFolder } from './helpers/cli.js'
import { eachPython, PYTHONS, program, start } from './helpers/pythons.js'

const schema = JSON.parse(readFileSync(new URL('../docs/dump.schema.json', import.meta.url), 'utf8'))

eachPython('ps lists it with its version, ready to be profiled', async (t, python) => {
  const target = await start(t, python, 'wait')
  const { stdout, status } = await cli(t, ['ps', '--json']).done
  t.is(status, 0)
  const found = JSON.parse(stdout).processes.find(({ pid }: { pid: number }) => pid === target.process.pid)
  t.true(found?.pythonVersion.startsWith(`${python.version}.`), JSON.stringify(found))
  t.is(found.obstacle, null)
  t.is(found.threads, 1)
})

eachPython('dump shows where it waits', async (t, python) => {
  const target = await start(t, python, 'wait')
  const pid = String(target.process.pid)
  const text = await cli(t, ['dump', pid]).done
  t.is(text.status, 0, text.stderr)
  t.regex(text.stdout, /^Thread "MainThread" \(main, python id 0x[0-9a-f]+, native id \d+, /m)
  const { stdout } = await cli(t, ['dump', pid, '--json', '--locals']).done
  const found = JSON.parse(stdout)
  const validate = new Ajv2020({ allErrors: true }).compile(schema)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.true(found.pythonVersion.startsWith(`${python.version}.`))
  const [main] = found.threads
  t.like(main, { nativeId: target.process.pid, main: true })
  t.deepEqual(
    main.frames.map(({ name }: { name: string }) => name),
    ['<module>'],
  )
  t.deepEqual(
    main.frames[0].locals?.find(({ name }: { name: string }) => name === 'what'),
    { name: 'what', argument: false, value: "'wait'" },
  )
})

eachPython('dump --native --kernel follows a thread that waits down into the kernel', async (t, python) => {
  const target = await start(t, python, 'wait')
  const args = ['dump', String(target.process.pid), '--native', '--kernel', '--json']
  const found = JSON.parse((await cli(t, args).done).stdout)
  const validate = new Ajv2020({ allErrors: true }).compile(schema)
  t.true(validate(found), JSON.stringify(validate.errors))
  const [{ native, frames }] = found.threads
  t.true(native.complete, JSON.stringify(found))
  t.truthy(native.waitsIn.call)
  const kinds = frames.map(({ kind }: { kind: string }) => kind).join(' ')
  t.regex(kinds, /^python( native)+( kernel)+$/)
})

eachPython('record -- program sees what it does', async (t, python) => {
  const cwd = temporaryFolder(t)
  const args = ['record', '-o', 'out.collapsed', '--', ...program(python, 'spin', '15000')]
  const { status, stdout, stderr } = await cli(t, args, { cwd }).done
  t.is(status, 0, stderr)
  t.is(stdout, 'ready\n')
  const lines = readFileSync(join(cwd, 'out.collapsed'), 'utf8').trimEnd().split('\n')
  const sum = (pattern: RegExp) =>
    lines
      .filter((line) => pattern.test(line))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  t.true(sum(/<module> \(<string>:\d+\);caller \([^;]*\);leaf /) > 0.5 * sum(/./), lines.join('\n'))
})

eachPython('record keeps what it has when the target dies', async (t, python) => {
  const cwd = temporaryFolder(t)
  const target = await start(t, python, 'spin')
  const profile = record({
    pid: target.process.pid!,
    progressInterval: 10,
    onProgress: ({ samples }) => samples > 20 && target.process.kill('SIGKILL'),
  })
  const { endReason, stats, exit } = await profile
  t.is(endReason, 'exited')
  t.true(stats.samples > 20)
  t.is(exit, null)
  t.deepEqual((await cli(t, ['record', String(target.process.pid), '-o', 'x.json'], { cwd }).done).status, 3)
})

const [python] = PYTHONS
const withPython = python ? test : test.skip

withPython('an aborted recording rejects with AbortError, code and cause', async (t) => {
  const target = await start(t, python!, 'spin')
  const reason = new Error('enough')
  const abort = new AbortController()
  const promise = record({
    pid: target.process.pid!,
    signal: abort.signal,
    progressInterval: 10,
    onProgress: () => abort.abort(reason),
  })
  const error = await t.throwsAsync(promise, {
    instanceOf: AbortError,
    code: 'ABORT_ERR',
    name: 'AbortError',
  })
  t.is(error?.cause, reason)
  await t.throwsAsync(record({ pid: target.process.pid!, signal: AbortSignal.abort() }), {
    instanceOf: AbortError,
  })
  t.is(target.process.exitCode, null, 'the target runs on')
})

withPython('two recordings of one process at once', async (t) => {
  const target = await start(t, python!, 'spin')
  const pid = target.process.pid!
  const both = await Promise.all([
    record({ pid, duration: 100 }),
    record({ pid, duration: 100, mode: 'cpu' }),
  ])
  for (const { endReason, stats } of both) {
    t.is(endReason, 'duration')
    t.true(stats.samples > 0)
  }
})

test('errors of the addon are PyprofError with a code and a remedy', async (t) => {
  const gone = new Child(t, process.execPath, ['-e', ''], {})
  const pid = gone.process.pid!
  await gone.done
  await t.throwsAsync(snapshot(pid), { instanceOf: PyprofError, code: 'ERR_PYPROF_NO_SUCH_PROCESS' })
  await t.throwsAsync(record({ pid }), { instanceOf: PyprofError, code: 'ERR_PYPROF_NO_SUCH_PROCESS' })
  await t.throwsAsync(snapshot(process.pid), { instanceOf: PyprofError, code: 'ERR_PYPROF_NOT_PYTHON' })
  for (const wrong of [0, -1, 1.5, Number.NaN, 2 ** 31]) {
    await t.throwsAsync(snapshot(wrong), { instanceOf: PyprofError, code: 'ERR_PYPROF_INVALID_ARGUMENT' })
  }
  for (const wrong of [{}, { pid: 1, command: 'x' }, { pid: 1, rate: 0 }, { pid: 1, duration: -1 }]) {
    await t.throwsAsync(record(wrong), { instanceOf: PyprofError, code: 'ERR_PYPROF_INVALID_ARGUMENT' })
  }
  t.is((await cli(t, ['dump', String(pid)]).done).status, 3)
  t.is((await cli(t, ['dump', String(process.pid)]).done).status, 4)
})

test('processes() is an array in order of pid', async (t) => {
  const pids = (await processes()).map(({ pid }) => pid)
  t.deepEqual(
    pids,
    pids.toSorted((a, b) => a - b),
  )
})

withPython('record --gil-stats says who held the GIL', async (t) => {
  const cwd = temporaryFolder(t)
  const target = await start(t, python!, 'spin')
  const args = ['record', '--gil-stats', '-q', '-d', '500ms', '-o', 'x.collapsed', String(target.process.pid)]
  const { status, stderr } = await cli(t, args, { cwd }).done
  t.is(status, 0, stderr)
  t.regex(stderr, /^GIL HELD +SHARE +WAITED +SHARE +TID +THREAD\n +0\.\d+s +\d+(\.\d)?% .* MainThread\n$/)
})

withPython('dump --subprocesses shows the tree, Python or not', async (t) => {
  const [command, ...args] = program(python!, 'wait')
  const quoted = [command, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const shell = new Child(t, 'sh', ['-c', `${quoted} & wait`], {})
  await shell.says('ready')
  const pid = String(shell.process.pid)
  const { stdout, status } = await cli(t, ['dump', '--subprocesses', '--json', pid]).done
  t.is(status, 0)
  const found = JSON.parse(stdout)
  const ajv = new Ajv2020({ allErrors: true }).addSchema(schema)
  const validate = ajv.compile(
    JSON.parse(readFileSync(new URL('../docs/tree.schema.json', import.meta.url), 'utf8')),
  )
  t.true(validate(found), JSON.stringify(validate.errors))
  const [root, child] = found.processes
  t.like(root, { pid: shell.process.pid, ppid: null, snapshot: null })
  t.is(root.obstacle.code, 'ERR_PYPROF_NOT_PYTHON')
  t.like(child, { ppid: shell.process.pid, obstacle: null })
  t.is(child.snapshot.threads[0].frames[0].name, '<module>')
  const text = await cli(t, ['dump', '-s', pid]).done
  t.regex(text.stdout, new RegExp(`^Process ${child.pid} \\(child of ${pid}\\): `, 'm'))
  t.is((await cli(t, ['dump', '-s', '999999999']).done).status, 3)
})

withPython('record --subprocesses follows a script that starts Python', async (t) => {
  const cwd = temporaryFolder(t)
  const script = 'trap "exit 7" EXIT; "$@"; true'
  const args = [
    'record',
    '-s',
    '-o',
    'out.collapsed',
    '--',
    'sh',
    '-c',
    script,
    'sh',
    ...program(python!, 'spin', '3000'),
  ]
  const { status, stderr } = await cli(t, args, { cwd }).done
  t.is(status, 7, 'the status is that of the script')
  t.regex(stderr, /and its children \(2 processes, 1 of them Python\)/)
  t.regex(readFileSync(join(cwd, 'out.collapsed'), 'utf8'), /^process python[^;]* \(\d+\);<module> /m)
})
