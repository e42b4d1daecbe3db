import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { render } from '../src/cli/commands/dump.js'
import type { FrameSnapshot, Snapshot } from '../src/types.js'
import { fakeCli } from './helpers/cli.js'

const frame = (name: string, line: number, more: object = {}) => ({
  kind: 0,
  name,
  qualifiedName: `App.${name}`,
  file: '/app/main.py',
  firstLine: line - 1,
  line,
  endLine: line,
  column: 5,
  endColumn: 9,
  isAsync: false,
  ...more,
})
const RAW = {
  pid: 7,
  pythonVersion: '3.12.1',
  executable: '/usr/bin/python3.12',
  command: ['python3', 'main.py'],
  threads: [
    {
      interpreter: 0,
      name: 'MainThread',
      pythonId: 0x7f00,
      tid: 7,
      isMain: true,
      onCpu: true,
      holdsGil: true,
      complete: false,
      frames: [
        frame('main', 3),
        frame('work', 9, {
          locals: [
            { name: 'self', isArgument: true, value: '<App>' },
            { name: 'n', isArgument: false, value: '3' },
          ],
        }),
        frame('', 0, { kind: 1, file: '', firstLine: 0, column: 0, endColumn: 0 }),
      ],
    },
    {
      interpreter: 1,
      name: 'idle\u0007',
      pythonId: 1,
      tid: 0,
      isMain: false,
      onCpu: false,
      complete: true,
      frames: [],
    },
  ],
}

test('dump reads like a traceback', async (t) => {
  const { status, stdout } = await fakeCli(t, ['dump', '7', '--locals'], { snapshot: RAW }).done
  t.is(status, 0)
  t.is(
    stdout,
    `Process 7: python3 main.py
CPython 3.12.1 (/usr/bin/python3.12)

Thread "MainThread" (main, python id 0x7f00, native id 7, on CPU, holds the GIL)
  File "/app/main.py", line 3, in App.main
  File "/app/main.py", line 9, in App.work
      argument self = <App>
      n = 3
  [missing: stack cut] frames below here changed while they were read

Thread "idle\\x07" (python id 0x1, native id unknown, waiting, interpreter 1)
  [no Python frames]
`,
  )
})

test('dump --json is valid by docs/dump.schema.json, which refuses what is wrong', async (t) => {
  const { stdout } = await fakeCli(t, ['dump', '7', '--json'], { snapshot: RAW }).done
  const schema = JSON.parse(readFileSync(new URL('../docs/dump.schema.json', import.meta.url), 'utf8'))
  const validate = new Ajv2020({ allErrors: true }).compile(schema)
  const found = JSON.parse(stdout)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.like(found.threads[0].frames[0], { kind: 'python', column: 4, endColumn: 8, async: false })
  t.like(found.threads[0].frames[2], { kind: 'missing', line: null, column: null })
  t.is(found.threads[1].nativeId, null)
  t.is(found.threads[1].holdsGil, null)
  t.false(validate({ ...found, pid: 'seven' }))
  t.false(validate({ ...found, threads: [{}] }))
})

const NATIVE = {
  ...RAW,
  threads: [
    {
      ...RAW.threads[1]!,
      name: 'reader',
      frames: [
        frame('main', 3),
        frame('read', 0, {
          kind: 2,
          module: '/lib/libc.so.6',
          file: '',
          firstLine: 0,
          column: 0,
          endColumn: 0,
        }),
        frame('os_read', 12, {
          kind: 2,
          module: '/lib/libpython.so',
          file: 'Modules/posixmodule.c',
          firstLine: 0,
        }),
        frame('vfs_read', 0, { kind: 3, module: 'kernel', file: '', firstLine: 0, column: 0, endColumn: 0 }),
        frame('ext4_read', 0, { kind: 3, module: 'ext4', file: '', firstLine: 0, column: 0, endColumn: 0 }),
      ],
      native: {
        complete: true,
        note: '',
        hasPython: true,
        waitsIn: { number: 0, call: 'read', arguments: ['fd=0 (pipe:[7])', 'count=1'], channel: 'pipe_read' },
      },
    },
    { ...RAW.threads[1]!, native: { complete: false, note: 'the thread runs', hasPython: true } },
    { ...RAW.threads[1]!, native: { complete: true, note: 'root only', hasPython: false, waitsIn: null } },
  ],
}

test('dump --native shows what lies below Python, and says of each thread what is missing', async (t) => {
  const { stdout } = await fakeCli(t, ['dump', '7', '--native', '--kernel'], { snapshot: NATIVE }).done
  t.is(
    stdout.split('\n\n').slice(1).join('\n\n'),
    `Thread "reader" (python id 0x1, native id unknown, waiting, interpreter 1)
  File "/app/main.py", line 3, in App.main
  native read (libc.so.6)
  native os_read (libpython.so, Modules/posixmodule.c:12)
  kernel vfs_read
  kernel ext4_read (ext4)
  waits in read(fd=0 (pipe:[7]), count=1)

Thread "idle\\x07" (python id 0x1, native id unknown, waiting, interpreter 1)
  [no Python frames]
  [no native frames: the thread runs]

Thread "idle\\x07" (no Python, native id unknown, waiting, interpreter 1)
  [no Python frames]
  [root only]
`,
  )
  const json = await fakeCli(t, ['dump', '7', '--native', '--json'], { snapshot: NATIVE }).done
  const schema = JSON.parse(readFileSync(new URL('../docs/dump.schema.json', import.meta.url), 'utf8'))
  const validate = new Ajv2020({ allErrors: true }).compile(schema)
  const found = JSON.parse(json.stdout)
  t.true(validate(found), JSON.stringify(validate.errors))
  t.like(found.threads[0].frames[2], { kind: 'native', module: '/lib/libpython.so', line: 12 })
  t.is(found.threads[0].frames[3].kind, 'kernel')
  t.is(found.threads[0].frames[0].module, undefined)
  t.is(found.threads[1].native.waitsIn, null)
  t.false(found.threads[2].native.python)
})

test('deep recursion is shown once and counted', (t) => {
  const one: FrameSnapshot = {
    kind: 'python',
    name: 'f',
    qualifiedName: 'f',
    file: 'a.py',
    firstLine: 1,
    line: 2,
    endLine: null,
    column: null,
    endColumn: null,
    async: false,
  }
  const snapshot: Snapshot = {
    schemaVersion: 1,
    pid: 1,
    pythonVersion: '3.10.0',
    executable: 'p',
    command: ['p'],
    threads: [
      {
        interpreter: 0,
        name: 'MainThread',
        pythonId: 1,
        nativeId: 1,
        main: true,
        onCpu: true,
        holdsGil: null,
        complete: true,
        frames: [...Array(50_000).fill(one), { ...one, line: 3 }],
      },
    ],
  }
  const text = render(snapshot)
  t.is(text.match(/line 2, in f/g)?.length, 3)
  t.true(text.includes('[Previous frame repeated 49997 more times]'))
  t.true(text.trimEnd().endsWith('line 3, in f'))
})
