import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { doctor } from '../src/doctor.js'
import { cli, fakeCli } from './helpers/cli.js'
import { PYTHONS, start } from './helpers/pythons.js'

const ENGINES = [
  {
    engine: 'exact',
    gives: 'everything',
    missing: ['we lack CAP_PERFMON', 'BPF programs need CAP_BPF'],
    remedies: [
      { means: 'docker', text: '--cap-add=PERFMON --cap-add=BPF' },
      { means: 'systemd', text: 'AmbientCapabilities=CAP_PERFMON CAP_BPF' },
    ],
  },
  {
    engine: 'perf',
    gives: 'native and kernel frames',
    missing: ['we lack CAP_PERFMON'],
    remedies: [
      { means: 'docker', text: '--cap-add=PERFMON' },
      { means: 'sysctl', text: 'sudo sysctl kernel.perf_event_paranoid=1' },
    ],
  },
  { engine: 'perf-user', gives: 'native frames', missing: [], remedies: [] },
  { engine: 'snapshot', gives: 'Python frames', missing: [], remedies: [] },
]
const RAW = {
  engine: 'perf-user',
  engines: ENGINES,
  checks: [
    { id: 'user', value: 'www (33)', remedies: [] },
    { id: 'perf-user', value: 'works', good: true, remedies: [] },
    {
      id: 'kernel-names',
      value: 'hidden',
      good: false,
      remedies: [{ means: 'sysctl', text: 'sudo sysctl kernel.kptr_restrict=1' }],
    },
    { id: 'of-tomorrow', value: 'x', good: false, remedies: [] },
  ],
}
const TARGET = {
  pid: 7,
  user: 'www',
  executable: '/usr/bin/web',
  command: ['web', 'a\u001b[31m'],
  python: { version: '3.13.1', file: '/lib/libpython.so', foundBy: 'symbol', freeThreaded: true, threads: 4 },
  engine: 'perf-user',
  remedies: [],
  hasBlockedStacks: true,
  hasKernelStacks: false,
  notes: [{ id: 'embedded', text: 'Python is embedded in web' }],
}
const DENIED = {
  pid: 8,
  user: 'root',
  command: ['python3'],
  obstacle: { code: 'ERR_PYPROF_PERMISSION', message: 'not allowed to read process 8' },
  remedies: [{ means: 'sudo', text: 'sudo env "PATH=$PATH" npx pyprof-rs' }],
  hasBlockedStacks: false,
  hasKernelStacks: false,
  notes: [],
}

test('doctor says what is there, and all that is missing for more', async (t) => {
  const { status, stdout } = await fakeCli(t, ['doctor'], { doctor: RAW }).done
  t.is(status, 0)
  t.is(
    stdout,
    `The best engine here is perf-user.

Engines
  exact                     no: we lack CAP_PERFMON, and BPF programs need CAP_BPF
    > docker or podman run  --cap-add=PERFMON --cap-add=BPF
    > systemd [Service]     AmbientCapabilities=CAP_PERFMON CAP_BPF
  perf                      no: we lack CAP_PERFMON
    > docker or podman run  --cap-add=PERFMON
  perf-user                 yes: native frames
  snapshot                  yes: Python frames

What this process may do, and what the kernel offers
      user                      www (33)
  ok  perf events, user code    works
  no  kernel function names     hidden
    > shell, for all users  sudo sysctl kernel.kptr_restrict=1
  no  of-tomorrow               x
`,
  )
})

test('doctor of a process says what is unusual about it, and shows no control characters', async (t) => {
  const { status, stdout } = await fakeCli(t, ['doctor', '7'], { doctor: { ...RAW, target: TARGET } }).done
  t.is(status, 0)
  t.true(
    stdout.startsWith(`Process 7: web a\\x1b[31m
  profile                   yes, with the perf-user engine: native frames
  Python                    CPython 3.13.1, without GIL, 4 threads
  found in                  /lib/libpython.so (by symbol)
  user                      www
  blocked threads           native frames can be read
  note                      Python is embedded in web

The best engine here is perf-user.
`),
    stdout,
  )
})

for (const [code, expected] of [
  ['ERR_PYPROF_PERMISSION', 5],
  ['ERR_PYPROF_NO_SUCH_PROCESS', 3],
  ['ERR_PYPROF_NOT_PYTHON', 4],
] as const) {
  test(`doctor of a process that cannot be profiled: ${code}`, async (t) => {
    const target = { ...DENIED, obstacle: { ...DENIED.obstacle, code } }
    const { status, stdout, stderr } = await fakeCli(t, ['doctor', '-p', '8'], { doctor: { ...RAW, target } })
      .done
    t.is(status, expected)
    t.is(stderr, '')
    t.true(
      stdout.startsWith(`Process 8: python3
  profile                   no: not allowed to read process 8
    > shell                 sudo env "PATH=$PATH" npx pyprof-rs
`),
      stdout,
    )
  })
}

test('where nothing works the status is that of missing permission', async (t) => {
  const engines = ENGINES.map((one) => ({ ...one, missing: ['a seccomp filter'] }))
  const { status, stdout } = await fakeCli(t, ['doctor'], { doctor: { engines, checks: [] } }).done
  t.is(status, 5)
  t.true(stdout.startsWith('Nothing can be profiled here.\n'))
})

const schema = JSON.parse(readFileSync(new URL('../docs/doctor.schema.json', import.meta.url), 'utf8'))
const validate = new Ajv2020({ allErrors: true }).compile(schema)

test('doctor --json is valid by docs/doctor.schema.json, which refuses what is wrong', async (t) => {
  for (const target of [undefined, TARGET, DENIED]) {
    const { stdout } = await fakeCli(t, ['doctor', '--json'], { doctor: { ...RAW, target } }).done
    const found = JSON.parse(stdout)
    t.true(validate(found), JSON.stringify(validate.errors))
    t.is(found.engines[0].available, false)
    t.is(found.checks[0].good, null)
    t.false(validate({ ...found, engine: 'magic' }))
    t.false(validate({ ...found, target: {} }))
    t.false(validate({ ...found, checks: [{ id: 1 }] }))
  }
})

test('the real one examines this machine and this very process, which is no Python', async (t) => {
  const found = await doctor(process.pid)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.deepEqual(
    found.engines.map(({ engine }) => engine),
    ['exact', 'perf', 'perf-user', 'snapshot'],
  )
  t.is(found.engine, found.engines.find(({ available }) => available)?.engine ?? null)
  t.is(found.target?.obstacle?.code, 'ERR_PYPROF_NOT_PYTHON')
  t.is(found.target?.python, null)
  t.true(new Set(found.checks.map(({ id }) => id)).size === found.checks.length)
  for (const wrong of [0, -1, 1.5, 2 ** 31, '1']) {
    await t.throwsAsync(doctor(wrong as number), { code: 'ERR_PYPROF_INVALID_ARGUMENT' })
  }
})

test('doctor of a running Python, from the command line', async (t) => {
  const python = PYTHONS.find(({ sid }) => !sid)
  if (!python) return t.pass('skipped: no Python here')
  const target = await start(t, python, 'sleep')
  const { status, stdout } = await cli(t, ['doctor', String(target.process.pid), '--json']).done
  t.is(status, 0)
  const found = JSON.parse(stdout)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.is(found.target.engine, found.engine)
  t.is(found.target.obstacle, null)
  t.true(found.target.python.version.startsWith(`${python.version}.`))
  const text = await cli(t, ['doctor', String(target.process.pid)]).done
  t.regex(text.stdout, /^Process \d+: .+\n {2}profile +yes, with the [a-z-]+ engine: /)
  const none = await cli(t, ['doctor', '2147483647']).done
  t.is(none.status, 3)
  t.regex(none.stdout, /profile +no: no process with pid 2147483647/)
})
