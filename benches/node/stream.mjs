// npm run bench:stream [-- --python PATH] [--seconds 5]: what a stream costs Node, and what it does to a late reader.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { cores, cpu, resources } from './process.mjs'
import { python, start } from './target.mjs'

const { values } = parseArgs({
  options: { python: { type: 'string' }, seconds: { type: 'string', default: '5' } },
})
const { attach } = await import('../../dist/index.js')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const places = cores()
if (places) spawnSync('taskset', ['-a', '-c', '-p', String(places.ours), String(process.pid)])
const target = await start(python(values.python), 'deep.py', [50], places?.its)
const seconds = Number(values.seconds)
let missed = 0

function verdict(what, text, good) {
  if (!good) missed++
  console.log(`${good ? 'ok    ' : 'MISSED'} ${what}: ${text}`)
}

/** Reads a session at 1 kHz with `read`, which returns what it read, and says what share of a core each part of Node took. */
async function cost(name, read, goal) {
  const session = await attach(target.pid, { rate: 1000 })
  const reading = read(session)
  // What is compiled and learnt at the start is not the stream's cost.
  await sleep(1000)
  const [begin, before, counted] = [process.hrtime.bigint(), cpu(), session.stats]
  await sleep(seconds * 1000)
  const [after, elapsed] = [cpu(), Number(process.hrtime.bigint() - begin)]
  const rounds = session.stats.rounds - counted.rounds
  await session.close()
  const got = await reading
  const share = Object.fromEntries(
    Object.keys(after).map((part) => [part, ((after[part] - before[part]) / elapsed) * 100]),
  )
  const text = Object.entries(share).map(([part, percent]) => `${part} ${percent.toFixed(2)} %`)
  verdict(
    name,
    `${text.join(', ')} of a core at ${((rounds / elapsed) * 1e9).toFixed(0)} Hz`,
    share.main <= goal && got > 0,
  )
}

await cost(
  'for await, leaf read',
  async (session) => {
    let lines = 0
    for await (const event of session) if (event.type === 'sample') lines += event.leaf?.line ?? 0
    return lines
  },
  2,
)
await cost(
  'for await, all frames read',
  async (session) => {
    let lines = 0
    for await (const event of session)
      if (event.type === 'sample') for (const frame of event.frames) lines += frame.line ?? 0
    return lines
  },
  2,
)
await cost(
  'batches()',
  async (session) => {
    let ns = 0
    for await (const { samples } of session.batches()) for (const wallNs of samples.wallNs) ns += wallNs
    return ns
  },
  2,
)

/** 20 kHz, and Node does nothing for a second, three times. */
async function blocked(bufferSize) {
  const session = await attach(target.pid, { rate: 20_000, ...(bufferSize ? { bufferSize } : {}) })
  const got = { samples: 0, lost: 0 }
  const memory = []
  const reading = (async () => {
    for await (const event of session) {
      if (event.type === 'sample') got.samples++
      else if (event.type === 'gap') got.lost += event.lost
    }
  })()
  for (let time = 0; time < 4; time++) {
    await sleep(1000)
    memory.push(resources().rss)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  }
  await sleep(300)
  await session.close()
  await reading
  const taken = session.stats.samples
  verdict(
    `20 kHz, blocked for a second, buffer of ${bufferSize ?? 'the default size'}`,
    `${taken} samples: ${got.samples} delivered, ${got.lost} counted lost; ` +
      `${(taken / (session.stats.elapsedNs / 1e9)).toFixed(0)} a second; memory ${memory.map((kib) => (kib / 1024).toFixed(1)).join(', ')} MiB`,
    got.samples + got.lost === taken && memory[3] - memory[1] < 4096,
  )
}
await blocked()
await blocked(4096)

const settled = async () => {
  await sleep(500)
  return resources()
}
const change = (before, after) =>
  ['rss', 'descriptors', 'threads'].map((key) => `${key} ${before[key]} -> ${after[key]}`).join(', ')
const same = (before, after) =>
  after.descriptors === before.descriptors &&
  after.threads === before.threads &&
  after.rss - before.rss < 4096

for (const [what, run] of [
  [
    '100 sessions opened and closed',
    async () => {
      for (let k = 0; k < 100; k++) {
        const session = await attach(target.pid, { rate: 1000 })
        for await (const event of session) if (event.type === 'sample') break
      }
    },
  ],
  [
    '20 workers terminated mid-stream',
    async () => {
      for (let k = 0; k < 20; k++) {
        const worker = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: target.pid })
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        await worker.terminate()
      }
    },
  ],
]) {
  // The first time fills what is kept for ever.
  await run()
  const before = await settled()
  await run()
  const after = await settled()
  verdict(`${what}, twice`, change(before, after), same(before, after))
}
target.kill()
process.exitCode = missed > 0 ? 1 : 0
