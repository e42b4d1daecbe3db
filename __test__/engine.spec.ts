/** Engines from the outside: native and kernel frames in sessions and files, and the engine named in every result. */
import test from 'ava'
import { attach, doctor, PyprofError, record, type Sample } from '../src/index.js'
import { cli } from './helpers/cli.js'
import { PYTHONS, start } from './helpers/pythons.js'

const python = PYTHONS.at(-1)
const best = (await doctor()).engine
const exact = python && best === 'exact' ? test.serial : test.skip

exact('a session shows native frames with their modules, and names its engine', async (t) => {
  const target = await start(t, python!, 'spin')
  const session = await attach(target.process.pid!, { native: true, kernel: true, idle: true })
  t.is(session.engine, 'exact')
  const samples: Sample[] = []
  for await (const event of session) {
    if (event.type === 'sample' && samples.push(event) >= 50) break
  }
  const frames = samples.flatMap((sample) => sample.frames)
  t.true(frames.some(({ kind, name }) => kind === 'python' && name.endsWith('caller')))
  // The interpreter sums: that is C, under the Python line that asked for it.
  const native = frames.filter(({ kind }) => kind === 'native')
  for (const { module } of native) t.truthy(module)
  for (const frame of frames) if (frame.kind === 'python') t.is(frame.module, undefined)
})

exact('--engine exact takes a plain Python profile, too', async (t) => {
  const target = await start(t, python!, 'spin')
  const profile = await record({ pid: target.process.pid!, duration: 1000, engine: 'exact' })
  t.is(profile.engine, 'exact')
  t.is(profile.engineAdvice, null)
  t.true(profile.stats.samples > 10, JSON.stringify(profile.stats))
  t.true(profile.hottest(5).some(({ name }) => name.endsWith('genexpr>') || name.endsWith('leaf')))
  const args = ['record', '-nk', '-d', '0.5', '-f', 'collapsed', '-o', '-', String(target.process.pid)]
  const { stdout, stderr, status } = await cli(t, args).done
  t.is(status, 0, stderr)
  t.regex(stdout, /<module> \([^;]*;.*caller/)
  t.regex(stderr, /^engine exact/m)
})

test('an engine that does not exist is refused by name', async (t) => {
  const error = await t.throwsAsync(attach(1, { engine: 'best' as 'exact' }), { instanceOf: PyprofError })
  t.is(error?.code, 'ERR_PYPROF_INVALID_ARGUMENT')
  t.regex(error!.message, /exact, perf, snapshot/)
})
