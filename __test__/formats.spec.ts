import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { Ajv } from 'ajv'
import test from 'ava'
import { PyprofError } from '../src/errors.js'
import { escapeFrame } from '../src/formats/collapsed.js'
import type { FormatOptions } from '../src/formats/index.js'
import { Profile } from '../src/profile.js'
import type { Mode } from '../src/types.js'
import { decodeProfile } from './helpers/protobuf.js'
import { example, rawProfile } from './helpers/raw.js'

const require = createRequire(import.meta.url)

function profile(mode: Mode = 'wall', raw = example(), subprocesses = false): Profile {
  return new Profile(raw, { pid: 100, rate: 1000, mode, subprocesses, exit: null })
}

function golden(name: string): string {
  return readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8')
}

for (const [name, mode, options] of [
  ['functions.collapsed', 'wall', {}],
  ['lines.collapsed', 'wall', { lines: true }],
  ['threads.collapsed', 'wall', { threads: true }],
  ['cpu.collapsed', 'cpu', {}],
] as [string, Mode, FormatOptions][]) {
  test(`collapsed is as in golden/${name}`, (t) => {
    t.is(profile(mode).to('collapsed', options), golden(name))
  })
}

for (const [name, options] of [
  ['functions.speedscope.json', {}],
  ['threads-lines.speedscope.json', { threads: true, lines: true }],
] as [string, FormatOptions][]) {
  test(`speedscope is as in golden/${name}`, (t) => {
    t.deepEqual(JSON.parse(profile().to('speedscope', options)), JSON.parse(golden(name)))
  })
}

test('where children were followed every format keeps processes apart', (t) => {
  const raw = example()
  raw.threads[0]!.process = 1
  raw.threads[0]!.pid = 200
  const followed = profile('wall', raw, true)
  const first = 'process python3 app.py (100)'
  const second = 'process python3 work;er.py (200)'
  const roots = followed.to('collapsed', { threads: true }).trimEnd().split('\n')
  t.deepEqual(
    new Set(roots.map((line) => line.split(';').slice(0, 2).join(';'))),
    new Set([`${first};thread MainThread (100)`, `${escapeFrame(second)};thread worker 1 (101)`]),
  )
  const names = JSON.parse(followed.to('speedscope')).profiles.map(({ name }: { name: string }) => name)
  t.deepEqual(names, [first, second])
  const { samples } = decodeProfile(gunzipSync(followed.to('pprof')))
  t.deepEqual(
    new Set(samples.map(({ labels }) => `${labels['process']} ${labels['process_id']}`)),
    new Set([`${first} 100`, `${second} 200`]),
  )
})

test("collapsed: a name cannot end its frame or its line, and can be told from what it isn't", (t) => {
  t.is(escapeFrame('a;b'), 'a\\x3bb')
  t.is(escapeFrame('a\nb\r'), 'a\\nb\\x0d')
  t.not(escapeFrame('a;b'), escapeFrame('a\\x3bb'))
  for (const line of profile().to('collapsed').trimEnd().split('\n')) t.regex(line, /^[^\n]+ \d+$/)
})

test('every format keeps all time, and a cut stack ends in a leaf of its own', (t) => {
  const wall = 8_500_400
  const lines = profile().to('collapsed').trimEnd().split('\n')
  const micros = lines.reduce((sum, line) => sum + Number(/ (\d+)$/.exec(line)![1]), 0)
  t.true(Math.abs(micros - wall / 1e3) < lines.length)
  t.true(lines.some((line) => /;Job\.work [^;]*;\[missing: stack cut\] 1000$/.test(line)))

  const { profiles, shared } = JSON.parse(profile().to('speedscope'))
  t.is(
    profiles[0].weights.reduce((a: number, b: number) => a + b),
    wall,
  )
  const missing = shared.frames.findIndex((frame: { name: string }) => frame.name === '[missing: stack cut]')
  t.is(profiles[0].samples.filter((stack: number[]) => stack.at(-1) === missing).length, 1)

  const { samples, nameOf } = decodeProfile(gunzipSync(profile().to('pprof')))
  t.is(
    samples.reduce((sum, sample) => sum + sample.value[1]!, 0),
    wall,
  )
  t.is(samples.filter((sample) => nameOf(sample.locationId[0]!) === '[missing: stack cut]').length, 1)
})

for (const options of [{}, { threads: true }, { lines: true }]) {
  test(`speedscope output is valid by speedscope's schema: ${JSON.stringify(options)}`, (t) => {
    const schema = JSON.parse(
      readFileSync(require.resolve('speedscope/dist/release/file-format-schema.json'), 'utf8'),
    )
    const validate = new Ajv({ strict: false }).compile(schema)
    const valid = validate(JSON.parse(profile().to('speedscope', options)))
    t.true(valid, JSON.stringify(validate.errors))
    t.false(validate({ profiles: 1 }), 'the schema refuses what is wrong')
  })
}

test('speedscope: what the bounded timeline lacks comes after it', (t) => {
  const raw = example()
  for (const key of ['thread', 'stack'] as const) raw.timeline[key] = raw.timeline[key].slice(0, 2)
  for (const key of ['timeNs', 'samples', 'wallNs', 'cpuNs'] as const) {
    raw.timeline[key] = raw.timeline[key].slice(0, 2)
  }
  raw.timelineComplete = false
  const { profiles } = JSON.parse(profile('wall', raw).to('speedscope'))
  t.is(
    profiles[0].weights.reduce((a: number, b: number) => a + b),
    8_500_400,
  )
})

test('pprof: read back by a decoder of its own', (t) => {
  const decoded = decodeProfile(gunzipSync(profile('cpu').to('pprof')))
  t.deepEqual(decoded.sampleTypes, ['samples/count', 'wall/nanoseconds', 'cpu/nanoseconds'])
  t.is(decoded.defaultSampleType, 'cpu')
  t.is(decoded.timeNanos, BigInt(Date.UTC(2026, 10, 23, 12, 0, 0, 500)) * 1_000_000n)
  t.is(decoded.durationNanos, 2_000_000_000)
  t.is(decoded.period, 1_000_000)
  const work = decoded.functions.find((fn) => fn.name === 'Job.work')
  t.like(work, { filename: '/app/job.py', startLine: 10 })
  t.is(decoded.functions.filter((fn) => fn.name === 'Job.work').length, 1, 'lines do not make functions')
  t.deepEqual(decoded.samples.map((sample) => sample.labels).at(-1), {
    thread: 'worker 1',
    thread_id: 101,
    process: 'process python3 app.py (100)',
    process_id: 100,
  })
  t.true(
    decoded.functions.some((fn) => fn.name === 'ev;il\nна me\\'),
    'any character is kept',
  )
})

const go = spawnSync('go', ['version']).status === 0
const withGo = go ? test : test.skip
withGo(`pprof: read by go tool pprof${go ? '' : ' (Go is not installed)'}`, async (t) => {
  // Go builds its tools when they are first used.
  t.timeout(600_000)
  const folder = mkdtempSync(join(tmpdir(), 'pyprof-go-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'out.pb.gz')
  writeFileSync(file, profile().to('pprof'))
  const env = { ...process.env, PPROF_TMPDIR: folder }
  const pprof = async (...args: string[]) =>
    (await promisify(execFile)('go', ['tool', 'pprof', ...args, file], { env })).stdout
  const top = await pprof('-top', '-sample_index=wall')
  t.regex(top, /Type: wall/)
  t.regex(top, /3\.50ms .*Job\.work/)
  t.regex(top, /5\.50ms .*<module>/)
  t.regex(top, /1ms .*\[missing: stack cut\]/)
  t.regex(await pprof('-tags'), /MainThread/)
})

test('an unknown format is refused by name', (t) => {
  const error = t.throws(() => profile().to('svg' as 'pprof'), { instanceOf: PyprofError })
  t.is(error?.code, 'ERR_PYPROF_INVALID_ARGUMENT')
  t.throws(() => profile().to('toString' as 'pprof'), { instanceOf: PyprofError })
})

test('hottest: self and total by function, recursion counted once', (t) => {
  const [first, ...rest] = profile().hottest()
  t.like(first, { name: 'Job.work', selfNs: 3_500_400, totalNs: 4_500_400 })
  const main = rest.find((fn) => fn.name === '<module>')!
  t.is(main.selfNs, 0)
  t.is(main.totalNs, 5_500_400)
})

test('summary: ranked, with shares, deep stacks shortened', (t) => {
  const { functions, lines, stacks, threads, totalNs, cutShare } = profile().summary({ stacks: 2 })
  t.is(totalNs, 8_500_400)
  t.is(cutShare, 1_000_000 / totalNs)
  t.is(functions[0]!.name, 'Job.work')
  t.deepEqual(
    lines.slice(0, 2).map(({ name, line, selfNs }) => [name, line, selfNs]),
    [
      ['Job.work', 12, 2_500_000],
      ['Job.work', 14, 1_000_400],
    ],
  )
  t.deepEqual(stacks, [
    {
      frames: ['<module> (/app/main.py:1)', 'Job.work (/app/job.py:10)'],
      ns: 3_500_400,
      share: 3_500_400 / totalNs,
    },
    { frames: ['[no Python frames]'], ns: 3_000_000, share: 3_000_000 / totalNs },
  ])
  t.deepEqual(
    threads.map(({ name, ns }) => [name, ns]),
    [
      ['MainThread', 4_500_400],
      ['worker 1', 4_000_000],
    ],
  )
  const frame = { name: 'deep', file: 'a.py', firstLine: 1, line: 1 }
  const deep = rawProfile(
    [{ tid: 1, name: 'x' }],
    [{ thread: 0, stack: new Array(100).fill(frame), samples: 1, wallNs: 1, cpuNs: 1 }],
  )
  const [stack] = profile('wall', deep).summary().stacks
  t.is(stack!.frames.length, 41)
  t.is(stack!.frames[20], '… 60 frames …')
})

test('native and kernel frames are named by their source, else by their binary', (t) => {
  const raw = rawProfile(
    [{ tid: 100, name: 'MainThread' }],
    [
      {
        thread: 0,
        stack: [
          { name: 'main', file: 'app.py', firstLine: 1, line: 2 },
          { name: 'zlib_compress', kind: 2, file: 'zlibmodule.c', module: '/lib/zlib.so', line: 70 },
          { name: 'deflate', kind: 2, module: '/lib/libz.so.1' },
          { name: 'exc_page_fault', kind: 3, module: 'kernel' },
        ],
        samples: 1,
        wallNs: 2_000_000,
        cpuNs: 1_000_000,
      },
    ],
  )
  const native = profile('wall', raw)
  t.is(
    native.to('collapsed', { lines: true }),
    'main (app.py:2);zlib_compress (zlibmodule.c:70);deflate (/lib/libz.so.1);exc_page_fault (kernel) 2000\n',
  )
  const { frames } = JSON.parse(native.to('speedscope')).shared
  t.deepEqual(frames[2], { name: 'deflate', file: '/lib/libz.so.1' })
  const decoded = decodeProfile(gunzipSync(native.to('pprof')))
  t.deepEqual(decoded.mappings, ['/lib/zlib.so', '/lib/libz.so.1', 'kernel'])
  t.deepEqual(
    decoded.locations.map(({ mapping }) => mapping),
    [null, '/lib/zlib.so', '/lib/libz.so.1', 'kernel'],
  )
  t.is(native.engine, 'snapshot')
})
