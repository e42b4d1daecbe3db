/** The examples, run as a reader would run them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test, { type ExecutionContext } from 'ava'
import { Child, cli, temporaryFolder } from './helpers/cli.js'
import { PYTHONS, program, start } from './helpers/pythons.js'

const [python] = PYTHONS
const withPython = python ? test.serial : test.skip

function example(t: ExecutionContext, name: string, ...args: string[]): Child {
  const path = fileURLToPath(new URL(`../examples/${name}`, import.meta.url))
  return new Child(t, process.execPath, [path, ...args], {})
}

withPython('dashboard: a browser is told the hottest functions', async (t) => {
  const target = await start(t, python!, 'spin')
  const dashboard = example(t, 'dashboard.mjs', String(target.process.pid), '0')
  await dashboard.says('http://')
  const address = /http:\S+/.exec(dashboard.stdout)![0]
  const page = await (await fetch(address)).text()
  t.regex(page, /new EventSource\('\/events'\)/)
  const events = await fetch(`${address}events`)
  t.is(events.headers.get('content-type'), 'text/event-stream')
  let text = ''
  for await (const chunk of events.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.endsWith('\n\n')) break
  }
  const seen = JSON.parse(text.split('\n\n')[0]!.slice('data: '.length))
  t.true(seen.samples > 0)
  const names = seen.functions.map(({ name }: { name: string }) => name)
  t.true(
    names.some((name: string) => /leaf|<genexpr>/.test(name)),
    String(names),
  )
  target.process.kill('SIGKILL')
  const { status, stdout } = await dashboard.done
  t.is(status, 0)
  t.regex(stdout, /has ended: exited/)
})

withPython('ci-check: fails when a function grows, and only then', async (t) => {
  const folder = temporaryFolder(t)
  const baseline = join(folder, 'baseline.json')
  const bench = (old: number, added: number) => {
    const code = `
def work(n):
    for _ in range(n):
        sum(range(2000))
def added(n):
    for _ in range(n):
        sum(range(2000))
work(${old})
added(${added})
`
    return [python!.command, ...python!.args, '-c', code]
  }
  const made = await example(t, 'ci-check.mjs', '--update', baseline, ...bench(20_000, 1000)).done
  t.is(made.status, 0, made.stderr)
  const same = await example(t, 'ci-check.mjs', baseline, ...bench(20_000, 1000)).done
  t.is(same.status, 0, same.stdout)
  const worse = await example(t, 'ci-check.mjs', baseline, ...bench(20_000, 10_000)).done
  t.is(worse.status, 1, worse.stdout)
  t.regex(worse.stdout, /^\d+\.\d% -> \d+\.\d% {2}added \(<string>\)$/m)
  t.is((await example(t, 'ci-check.mjs').done).status, 2)
})

withPython('record --json-summary is one JSON document, small and valid', async (t) => {
  const args = ['record', '--json-summary', '--', ...program(python!, 'spin', '20000')]
  const cwd = temporaryFolder(t)
  const { status, stdout, stderr } = await cli(t, args, { cwd }).done
  t.is(status, 0, stderr)
  t.regex(stderr, /^ready$/m, "the program's output goes to standard error")
  const found = JSON.parse(stdout)
  const schema = JSON.parse(readFileSync(new URL('../docs/summary.schema.json', import.meta.url), 'utf8'))
  const validate = new Ajv2020({ allErrors: true }).compile(schema)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.true(stdout.length < 20_000)
  const shares = found.stacks.map(({ share }: { share: number }) => share)
  t.deepEqual(
    shares,
    shares.toSorted((a: number, b: number) => b - a),
  )
  t.regex(found.functions[0].name, /leaf|<genexpr>/)
  t.regex(found.stacks[0].frames.join(';'), /^<module> \(<string>:1\);caller \(<string>:\d+\);leaf/)
  t.true(found.lines.every(({ selfShare }: { selfShare: number }) => selfShare <= 1))
  t.is((await cli(t, ['record', '--json-summary', '-o', '-', '1'], { cwd }).done).status, 2)
})
