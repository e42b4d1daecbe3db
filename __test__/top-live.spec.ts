/** `top` on real Pythons: tables through a pipe with every version, the live view in a real terminal. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test, { type ExecutionContext } from 'ava'
import { Child, cli, MAIN, PROGRAM, temporaryFolder } from './helpers/cli.js'
import { eachPython, PYTHONS, program, start } from './helpers/pythons.js'
import { HAS_TMUX, Tmux } from './helpers/tmux.js'

const schema = JSON.parse(readFileSync(new URL('../docs/top.schema.json', import.meta.url), 'utf8'))

const python = PYTHONS.find(({ sid }) => !sid)

eachPython('top shows the hot functions of a process, one table for each interval', async (t, python) => {
  const target = await start(t, python, 'spin')
  const pid = String(target.process.pid)
  const { stdout, stderr, status } = await cli(t, [
    'top',
    pid,
    '-n',
    '2',
    '-i',
    '300ms',
    '--sort',
    'total-now',
  ]).done
  t.is(status, 0, stderr)
  t.is(stderr, '')
  const tables = stdout.trimEnd().split('\n\n')
  t.is(tables.length, 2)
  for (const table of tables) {
    const [head, titles, ...rows] = table.split('\n')
    t.regex(
      head!,
      new RegExp(`^pid ${pid}  0\\.\\ds of 0\\.\\ds  time wall  CPU .* Hz  cut .*  own CPU .*%  snapshot$`),
    )
    t.regex(titles!, /^SELF% +TOTAL% +SELF +TOTAL +FUNCTION +WHERE$/)
    const caller = rows.find((row) => row.includes(' caller '))
    t.true(Number.parseFloat(caller?.trim().split(/ +/)[1] ?? '0') > 30, table)
  }
})

function withPython(
  title: string,
  body: (t: ExecutionContext, python: (typeof PYTHONS)[number]) => Promise<void>,
): void {
  if (!python) test.skip(`${title}: no Python outside of a folder`, () => {})
  else test.serial(title, (t) => body(t, python))
}

withPython(
  '--json: one object a line, with functions, lines, threads, processes and health',
  async (t, python) => {
    const target = await start(t, python, 'spin')
    const pid = target.process.pid!
    const { stdout } = await cli(t, ['top', String(pid), '-n', '2', '-i', '300ms', '--json', '--limit', '3'])
      .done
    const [, last] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const validate = new Ajv2020({ allErrors: true }).compile(schema)
    t.true(validate(last), JSON.stringify(validate.errors))
    t.like(last, { schemaVersion: 1, pid, time: 'wall' })
    t.true(last.sampler.rate > 0)
    t.true(last.functions.length <= 3)
    const own = last.functions.find(({ kind }: { kind: string }) => kind === 'python')
    t.true(own.totalNs > 0 && own.overall.totalNs >= own.totalNs)
    t.true(last.lines[0].line > 0)
    t.like(last.threads[0], { pid, tid: pid, name: 'MainThread', ended: false })
    t.is(last.threads[0].stack[0].name, '<module>')
    t.like(last.processes[0], { pid, threads: 1 })
    t.true(last.elapsedNs > last.intervalNs)
  },
)

withPython('views, filter and waiting threads', async (t, python) => {
  const target = await start(t, python, 'wait')
  const top = async (...args: string[]) =>
    (await cli(t, ['top', String(target.process.pid), '-n', '1', '-i', '200ms', ...args]).done).stdout
  t.regex(await top('--view', 'threads'), /waits +\d+ +\d+ +MainThread +<module>/)
  t.regex(await top('--view', 'processes'), /PARENT +PYTHON +COMMAND\n.* 3\.\d+\.\S+ +\S*python/)
  t.notRegex(await top(), /<module>/)
  t.regex(await top('--idle'), /\d% +\d\S* +\S+ +<module>/)
  t.regex(await top('--idle', '--view', 'lines'), /<module> +<string>:\d+|<module> +.*program\.py:\d+/)
  t.notRegex(await top('--idle', '--filter', 'nothing'), /<module>/)
  const json = async (...args: string[]) => JSON.parse(await top('--json', ...args))
  t.like(await json('--mode', 'cpu', '--rate', '50'), { time: 'cpu', sampler: { rateAsked: 50 } })
  t.is((await json('--thread', 'MainThread')).threads.length, 1)
  t.is((await json('--thread', 'nobody')).threads.length, 0)
})

withPython('a duration ends it; so does SIGTERM, and a reader who leaves', async (t, python) => {
  const target = await start(t, python, 'spin')
  const pid = String(target.process.pid)
  t.is((await cli(t, ['top', pid, '-d', '300ms']).done).status, 0)
  const stopped = cli(t, ['top', pid, '-i', '200ms'])
  await stopped.says('FUNCTION')
  stopped.process.kill('SIGTERM')
  t.like(await stopped.done, { status: 0, stderr: '' })
  const left = cli(t, ['top', pid, '-i', '100ms'])
  await left.says('FUNCTION')
  left.process.stdout.destroy()
  t.like(await left.done, { status: 0, stderr: '' })
})

withPython("the target's end is the end, and said", async (t, python) => {
  const target = await start(t, python, 'spin')
  const top = cli(t, ['top', String(target.process.pid), '-i', '200ms'])
  await top.says('FUNCTION')
  target.process.kill('SIGKILL')
  t.like(await top.done, { status: 0, stderr: 'pyprof-rs: the process ended\n' })
})

withPython(
  'a program is started, its output goes to standard error, its status comes back',
  async (t, python) => {
    const spin = await cli(t, ['top', '-i', '100ms', '--', ...program(python, 'spin', '3000')]).done
    t.is(spin.status, 0)
    t.regex(spin.stderr, /^ready$/m)
    t.regex(spin.stdout, /caller/)
    t.notRegex(spin.stdout, /ready/)
    const exit = await cli(t, ['top', '--', ...program(python, 'exit', '7')]).done
    t.is(exit.status, 7)
    const stopped = cli(t, ['top', '-i', '100ms', '--', ...program(python, 'catch')])
    await stopped.says('ready')
    await stopped.says('FUNCTION')
    stopped.process.kill('SIGTERM')
    t.is((await stopped.done).status, 0)
    t.is((await cli(t, ['top', '--', '/nowhere/python']).done).status, 127)
  },
)

withPython('--subprocesses: children have rows of their own', async (t, python) => {
  const code = `
import subprocess, sys
child = subprocess.Popen([sys.executable, ${JSON.stringify(PROGRAM)}, "spin"], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, "ready", flush=True)
child.wait()
`
  const target = new Child(t, python.command, [...python.args, '-c', code], {})
  await target.says(' ready')
  const child = target.stdout.split(' ')[0]!
  const top = cli(t, ['top', '-s', '-i', '300ms', '--view', 'processes', String(target.process.pid)])
  await top.says(` ${child} `)
  top.process.kill('SIGTERM')
  const { stdout } = await top.done
  t.regex(stdout, new RegExp(` ${child} +${target.process.pid} +3\\.`))
})

function inTerminal(title: string, body: (t: ExecutionContext, tmux: Tmux) => Promise<void>): void {
  if (!HAS_TMUX) test.skip(`${title}: tmux not found`, () => {})
  else withPython(title, (t) => body(t, new Tmux(t, 100, 30)))
}

const TOP = `${process.execPath} ${MAIN} top`

inTerminal(
  'the live view shows the hot function of a real process; keys work; q gives the terminal back',
  async (t, tmux) => {
    const target = await start(t, python!, 'spin')
    const modes = await tmux.modes()
    tmux.run(`${TOP} ${target.process.pid}`)
    await tmux.until(/\d% +\S+ .*caller/)
    tmux.type('3')
    await tmux.until(/GIL|runs/)
    tmux.type('5')
    await tmux.until(/MainThread +\d+ +(runs|waits)/)
    tmux.type('4')
    await tmux.until(new RegExp(`${target.process.pid} +\\d+ +3\\.`))
    tmux.type('1m')
    await tmux.until(/cpu, by self now/)
    tmux.type('/caller')
    await tmux.until((screen) => /caller/.test(screen) && !/<module>/.test(screen))
    tmux.key('Escape')
    tmux.type('w')
    const file = join(temporaryFolder(t), 'seen.collapsed')
    tmux.key('C-u')
    tmux.type(file)
    tmux.key('Enter')
    await tmux.until(/samples written to/)
    t.regex(readFileSync(file, 'utf8'), /;caller /)
    target.process.kill('SIGKILL')
    await tmux.until(/the process ended/)
    tmux.type('q')
    await tmux.until((screen) => screen.includes(' top ') && !screen.includes('FUNCTION'))
    t.false(tmux.alternate)
    t.is(await tmux.modes(), modes)
  },
)

inTerminal('top alone lets one choose', async (t, tmux) => {
  const target = await start(t, python!, 'spin')
  tmux.run(TOP)
  await tmux.until(new RegExp(`^ *${target.process.pid} `, 'm'))
  tmux.type(`/${target.process.pid}`)
  await tmux.until((screen) => (screen.match(/^ *\d+ +3\.\d/gm) ?? []).length === 1)
  tmux.key('Enter')
  await tmux.until(/\d% +\S+ .*caller/)
  tmux.type('q')
  await tmux.until((screen) => !screen.includes('FUNCTION'))
  tmux.run(TOP)
  await tmux.until(/Which process/)
  tmux.key('C-c')
  await tmux.until((screen) => !screen.includes('Which process'))
  t.false(tmux.alternate)
})

inTerminal("a program's output has a view; leaving ends the program", async (t, tmux) => {
  tmux.run(`${TOP} -- ${python!.command} ${python!.args.join(' ')} ${PROGRAM} spin; echo status=$?`)
  await tmux.until(/\d% +\S+ .*caller/)
  const pid = /pid (\d+)/.exec(tmux.screen())![1]!
  tmux.type('6')
  await tmux.until(/^ready$/m)
  tmux.type('q')
  await tmux.until(/^status=0$/m)
  t.throws(() => process.kill(Number(pid), 0))
})

inTerminal('a process that is not there: an error on the screen that was', async (t, tmux) => {
  tmux.run(`${TOP} 4194304; echo status=$?`)
  const screen = await tmux.until(/^status=3$/m)
  t.regex(screen, /^pyprof-rs: /m)
  t.false(tmux.alternate)
})
