/** The stream: samples and events of a real Python as they come, and every way in which it ends. */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import {
  AbortError,
  attach,
  CUT,
  ON_CPU,
  PyprofError,
  type Sample,
  type Session,
  type SessionEvent,
  spawn,
} from '../src/index.js'
import { eachPython, PYTHONS, program, start } from './helpers/pythons.js'

const [python] = PYTHONS
const withPython = python ? test.serial : test.skip

async function spinning(t: ExecutionContext, of = python!): Promise<number> {
  return (await start(t, of, 'spin')).process.pid!
}

async function take(session: AsyncIterable<SessionEvent>, count: number): Promise<Sample[]> {
  const samples: Sample[] = []
  for await (const event of session) {
    if (event.type === 'sample' && samples.push(event) === count) break
  }
  return samples
}

/** The profiler's threads in this process. */
function ownThreads(): string[] {
  return readdirSync('/proc/self/task')
    .map((tid) => spawnSync('cat', [`/proc/self/task/${tid}/comm`], { encoding: 'utf8' }).stdout.trim())
    .filter((name) => name.startsWith('pyprof'))
}

eachPython('for await yields samples with their frames, thread and times', async (t, of) => {
  const pid = await spinning(t, of)
  const session = await attach(pid)
  const samples = await take(session, 50)
  t.is(session.ended, 'stopped', 'break ends it')
  const [sample] = samples
  t.is(sample!.type, 'sample')
  t.is(sample!.thread.pid, pid)
  t.is(sample!.thread.process.pid, pid)
  t.true(sample!.thread.process.pythonVersion!.startsWith(of.version))
  t.is(sample!.frames[0]!.name, '<module>')
  t.true(samples.some(({ leaf }) => leaf?.name === 'leaf' || leaf?.name === 'leaf.<locals>.<genexpr>'))
  for (const { thread, frames } of samples) {
    t.is(thread, sample!.thread, 'the same thread is the same object')
    t.true(frames.length > 0)
  }
  const places = samples.flatMap(({ frames }) => frames)
  t.is(new Set(places).size, new Set(places.map((frame) => JSON.stringify(frame))).size, 'the same object')
  const wall = samples.reduce((sum, { wallNs }) => sum + wallNs, 0)
  const cpu = samples.reduce((sum, { cpuNs }) => sum + cpuNs, 0)
  const elapsed = samples.at(-1)!.timeNs - sample!.timeNs + sample!.wallNs
  t.true(wall <= elapsed && wall > elapsed / 2, `${wall} of ${elapsed}`)
  t.true(cpu > 0)
  t.true(samples.every(({ complete, leaf }) => complete === (leaf?.kind !== 'missing')))
  t.deepEqual(JSON.parse(JSON.stringify(sample)).frames, sample!.frames)
  t.regex(inspect(sample), /wallNs: \d+/)
})

withPython('jitter moves samples from their places', async (t) => {
  const pid = await spinning(t)
  // Where in its interval of 10 ms each sample is.
  const places = async (jitter: number) => {
    const found: number[] = []
    for await (const event of await attach(pid, { rate: 100, jitter })) {
      if (event.type === 'sample') found.push((event.timeNs % 10e6) / 10e6)
      if (found.length === 60) break
    }
    return found
  }
  // A sample can be late, even by half an interval, but not most of them.
  const late = (place: number) => place < 0.5
  t.true((await places(0)).filter(late).length > 30)
  const moved = await places(1)
  const early = moved.filter((place) => !late(place)).length
  t.true(early > 10 && early < 50, `${early} of 60 before their place`)
  await t.throwsAsync(attach(pid, { jitter: 1.5 }), {
    code: 'ERR_PYPROF_INVALID_ARGUMENT',
    message: /jitter/,
  })
})

withPython('batches are columns with growing tables', async (t) => {
  const session = await attach(await spinning(t), { rate: 5000 })
  let count = 0
  let tables: unknown
  for await (const batch of session.batches()) {
    const { samples } = batch
    tables ??= batch.tables
    t.is(batch.tables, tables as typeof batch.tables)
    for (let i = 0; i < samples.length; i++) {
      t.is(batch.tables.threads.get(samples.thread[i]!)?.name, 'MainThread')
      const frames = batch.tables.framesOf(samples.stack[i]!)
      t.is(frames.at(-1), batch.tables.frames[batch.tables.leafOf(samples.stack[i]!)])
      t.is((samples.flags[i]! & CUT) !== 0, frames.at(-1)!.kind === 'missing')
      t.true((samples.flags[i]! & ON_CPU) !== 0)
    }
    count += samples.length
    if (count > 500) break
  }
  t.is(session.ended, 'stopped')
})

withPython('threads that have ended leave the tables but not the samples', async (t) => {
  const pid = (await start(t, python!, 'threads')).process.pid!
  let ended = 0
  let most = 0
  const packed = await attach(pid)
  for await (const { tables, samples, events } of packed.batches()) {
    most = Math.max(most, tables.threads.size - events.length)
    for (const id of samples.thread) t.truthy(tables.threads.get(id))
    ended += events.filter(({ type }) => type === 'thread-end').length
    if (ended >= 20) break
  }
  t.true(most < 10, `${most} threads known after ${ended} have ended`)

  const samples: Sample[] = []
  ended = 0
  for await (const event of await attach(pid)) {
    if (event.type === 'sample') samples.push(event)
    else if (event.type === 'thread-end' && ++ended === 10) break
  }
  t.true(samples.length > 0)
  for (const { thread } of samples) t.is(thread.pid, pid)
})

withPython('a session tells what starts and ends, and ends with its target', async (t) => {
  const child = await start(t, python!, 'spin')
  const session = await attach(child.process.pid!)
  const types: string[] = []
  for await (const event of session) {
    if (types.at(-1) !== event.type) types.push(event.type)
    if (event.type === 'sample') child.process.kill('SIGKILL')
  }
  t.deepEqual(types, ['process-start', 'thread-start', 'sample', 'thread-end', 'process-exit'])
  t.is(session.ended, 'exited')
  t.is(await session.closed, 'exited')
  t.true((await session.profile()).stats.samples > 0, 'what was collected can be had after the end')
})

withPython('profile() does not end it, collect() gives what came meanwhile', async (t) => {
  const session = await attach(await spinning(t), { timeline: true })
  const first = await session.collect({ duration: 200 })
  t.is(first.endReason, null)
  const second = await session.collect({ duration: 200 })
  const all = await session.profile()
  for (const { stats } of [first, second]) {
    t.true(stats.samples > 0)
    t.true(stats.elapsedNs < 0.75 * all.stats.elapsedNs, `${stats.elapsedNs} of ${all.stats.elapsedNs}`)
  }
  const sum = first.stats.samples + second.stats.samples
  t.true(sum <= all.stats.samples, `${sum} of ${all.stats.samples}`)
  const micros = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  // A sample's time ends with the start of its look, the elapsed time with its end.
  const shown = micros(second.to('collapsed'))
  const elapsed = second.stats.elapsedNs / 1e3
  t.true(shown > 0.5 * elapsed && shown < 1.1 * elapsed, `${shown} of ${elapsed}`)
  t.true(second.started >= first.started)
  t.is(JSON.parse(second.to('speedscope')).profiles.length, 1)
  await session.close()
  t.is(session.ended, 'stopped')
  const abort = new AbortController()
  abort.abort()
  await t.throwsAsync(session.collect({ signal: abort.signal }), { instanceOf: AbortError })
})

withPython('an aborted session throws AbortError to its reader and to who waits', async (t) => {
  const abort = new AbortController()
  const reason = new Error('enough')
  const session = await attach(await spinning(t), { signal: abort.signal })
  const error = await t.throwsAsync(
    async () => {
      for await (const event of session) if (event.type === 'sample') abort.abort(reason)
    },
    { instanceOf: AbortError, code: 'ABORT_ERR' },
  )
  t.is(error?.cause, reason)
  await t.throwsAsync(session.closed, { instanceOf: AbortError })
  t.true((await session.profile()).stats.samples > 0)
})

withPython('close() ends a loop that waits, and dispose does the same', async (t) => {
  const pid = (await start(t, python!, 'wait')).process.pid!
  for (const how of ['close', Symbol.asyncDispose] as const) {
    const session = await attach(pid)
    const reader = (async () => {
      for await (const event of session) if (event.type === 'process-exit') return 'never'
      return 'ended'
    })()
    await session[how]()
    t.is(await reader, 'ended')
    t.is(session.ended, 'stopped')
  }
})

withPython('a session is read once', async (t) => {
  const session = await attach(await spinning(t))
  await take(session, 1)
  await t.throwsAsync(take(session, 1), { instanceOf: PyprofError, code: 'ERR_PYPROF_INVALID_ARGUMENT' })
})

withPython('Readable.from takes it, and destroying the stream ends it', async (t) => {
  const session = await attach(await spinning(t))
  const readable = Readable.from(session)
  for await (const event of readable) if ((event as SessionEvent).type === 'sample') break
  await session.closed
  t.is(session.ended, 'stopped')
})

withPython('who does not read in time sees a gap with the number lost', async (t) => {
  const session = await attach(await spinning(t), { rate: 20_000, bufferSize: 200 })
  // Not reading, and not even letting the event loop turn.
  while (session.stats.lost < 1000);
  let lost = 0
  let samples = 0
  for await (const event of session) {
    if (event.type === 'gap') lost += event.lost
    if (event.type === 'sample' && ++samples === 1000) void session.close()
  }
  t.true(lost >= 1000, String(lost))
  const { stats } = await session.profile()
  t.is(samples + lost, stats.samples, 'delivered or counted')
  t.is(lost, stats.lost)
})

withPython('spawn() samples a program from its start, and tells how it ended', async (t) => {
  const [command, ...args] = program(python!, 'spin', '3000')
  const session = await spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  session.child!.stdout!.on('data', (chunk) => {
    said += chunk
  })
  const samples = await take(session, Number.POSITIVE_INFINITY)
  t.true(samples.length > 0)
  t.is(session.ended, 'exited')
  t.deepEqual(await session.exit, { code: 0, signal: null })
  t.is(said, 'ready\n')
  t.deepEqual((await session.profile()).exit, { code: 0, signal: null })
  await t.throwsAsync(spawn('/no/such/program'), { code: 'ERR_PYPROF_LAUNCH' })
  const abort = new AbortController()
  const aborted = await spawn(command, [...args.slice(0, -1), '1000000'], {
    stdio: 'ignore',
    signal: abort.signal,
  })
  abort.abort()
  t.is((await aborted.exit!).signal, 'SIGTERM')
})

withPython('children are followed, each sample names its process', async (t) => {
  const child = 'import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass'
  const script = `import subprocess, sys\nsubprocess.run([sys.executable, '-c', ${JSON.stringify(child)}])`
  const session = await spawn(python!.command, [...python!.args, '-c', script], {
    subprocesses: true,
    stdio: 'ignore',
  })
  t.teardown(() => session.child!.kill('SIGKILL'))
  for await (const event of session) {
    if (event.type !== 'sample' || event.thread.pid === session.pid) continue
    t.is(event.thread.process.ppid, session.pid)
    t.deepEqual(event.thread.process.command.at(-1), child)
    process.kill(event.thread.pid, 'SIGKILL')
    break
  }
  const profile = await session.profile()
  t.is(profile.processes.length, 2)
  t.regex(profile.to('collapsed'), /^process python[^;]*-c import time/m)
})

withPython('wrong options are named', async (t) => {
  const wrong = { instanceOf: PyprofError, code: 'ERR_PYPROF_INVALID_ARGUMENT' }
  await t.throwsAsync(attach(0), wrong)
  await t.throwsAsync(attach(1, { rate: 0 }), { ...wrong, message: /rate/ })
  await t.throwsAsync(attach(1, { bufferSize: -1 }), { ...wrong, message: /bufferSize/ })
  await t.throwsAsync(attach(process.pid), { code: 'ERR_PYPROF_NOT_PYTHON' })
  const session = await attach(await spinning(t))
  const unread = await attach(session.pid, { bufferSize: 0 })
  await t.throwsAsync(take(unread, 1), { ...wrong, message: /no buffer/ })
  await unread.close()
  await t.throwsAsync(session.collect({ duration: -1 }), { ...wrong, message: /duration/ })
  await session.close()
})

withPython('a hundred sessions in a row leave no thread and no descriptor behind', async (t) => {
  const pid = await spinning(t)
  const descriptors = () => readdirSync('/proc/self/fd').length
  await take(await attach(pid), 1)
  const before = descriptors()
  for (let round = 0; round < 100; round++) await take(await attach(pid), 1)
  t.is(descriptors(), before)
  t.deepEqual(ownThreads(), [])
})

withPython('Node ends by itself after a session, and while nobody reads it goes on', async (t) => {
  const pid = await spinning(t)
  const api = fileURLToPath(new URL('../dist/index.js', import.meta.url))
  const run = (body: string) =>
    spawnSync(
      process.execPath,
      ['--input-type=module', '-e', `const { attach } = await import('${api}')\n${body}`],
      { encoding: 'utf8' },
    )
  const read = run(`for await (const event of await attach(${pid})) if (event.type === 'sample') break
    console.log('done')`)
  t.deepEqual([read.status, read.stdout], [0, 'done\n'], read.stderr)
  const unread = run(`const session = await attach(${pid}, { duration: 300 })
    session.closed.then((reason) => console.log(reason))`)
  t.deepEqual([unread.status, unread.stdout], [0, 'duration\n'], unread.stderr)
})

withPython('workers that are terminated mid-stream take their sessions with them', async (t) => {
  const pid = await spinning(t)
  const api = fileURLToPath(new URL('../dist/index.js', import.meta.url))
  const code = `
    const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(api)}).then(async ({ attach }) => {
      for await (const event of await attach(${pid}, { rate: 5000 }))
        if (event.type === 'sample') parentPort.postMessage(event.frames.length)
    })`
  for (let round = 0; round < 5; round++) {
    const workers = Array.from({ length: 4 }, () => new Worker(code, { eval: true }))
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))))
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
  const end = Date.now() + 10_000
  while (ownThreads().length > 0 && Date.now() < end) await new Promise((done) => setImmediate(done))
  t.deepEqual(ownThreads(), [])
})

withPython('a sample tells what its thread did', async (t) => {
  const [spins] = await take(await attach(await spinning(t)), 1)
  t.like(spins!.toJSON(), { onCpu: true, waitsForGil: false, inGc: false, syscall: null })
  const waiting = (await start(t, python!, 'wait')).process.pid!
  // It may be on its way still.
  const samples = await take(await attach(waiting, { idle: true }), 500)
  const waits = samples.find(({ onCpu }) => !onCpu)
  t.like(waits!.toJSON(), { onCpu: false, holdsGil: false, waitsForGil: false })
  t.regex(waits!.syscall!, /^(clock_nanosleep|p?select6?|poll)$/)
})

withPython('several sessions of one process at once', async (t) => {
  const pid = await spinning(t)
  const sessions: Session[] = await Promise.all([attach(pid), attach(pid, { rate: 100 }), attach(pid)])
  const counts = await Promise.all(sessions.map(async (session) => (await take(session, 20)).length))
  t.deepEqual(counts, [20, 20, 20])
})
