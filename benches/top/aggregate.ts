/**
 * What `top` costs in Node's main thread: batches made beforehand go through the model, with a picture every half
 * second, as fast as they can. Prints the CPU time as a share of the time that the batches stand for.
 *
 *     npx tsx benches/top/aggregate.ts [threads] [depth] [rate] [seconds] [distinct stacks a thread]
 */

import { FakeTables, frame } from '../../__test__/helpers/session.js'
import { paint } from '../../src/cli/terminal/paint.js'
import { Model } from '../../src/cli/top/model/model.js'
import type { Batch } from '../../src/cli/top/source.js'
import { initialState } from '../../src/cli/top/state.js'
import { frame as draw } from '../../src/cli/top/views/frame.js'

const [threads = 200, depth = 100, rate = 1000, seconds = 20, distinct = 20] = process.argv
  .slice(2)
  .map(Number)
const BATCH_MS = 10
const tables = new FakeTables()
const process_ = tables.process(1)
const all = Array.from({ length: threads }, (_, i) => tables.thread(process_, 1 + i, `thread ${i}`))
const stacks = all.map((_, thread) =>
  Array.from({ length: distinct }, (_, n) =>
    tables.stack(
      Array.from({ length: depth }, (_, level) => {
        // The same callers below, ever more different ones above.
        const which = level < depth / 2 ? thread % 5 : level < depth - 5 ? thread : n
        return frame(`f${level}_${which} module${level % 20}.py:${1 + (n % 7)}`)
      }),
    ),
  ),
)
const rounds = (rate * BATCH_MS) / 1000
const length = rounds * threads

function batchOf(i: number): Batch {
  const thread = new Uint32Array(length)
  const stack = new Uint32Array(length)
  const flags = new Uint32Array(length)
  for (let at = 0; at < length; at++) {
    const k = at % threads
    const round = Math.floor(at / threads)
    thread[at] = all[k]!.id
    stack[at] = stacks[k]![(i + round * 31 + k * 7) % distinct]!
    flags[at] = k === 0 ? 3 : k % 4 === 0 ? 1 : 0
  }
  const timeNs = new Float64Array(length).fill((i + 1) * BATCH_MS * 1e6)
  const wallNs = new Float64Array(length).fill(1e9 / rate)
  return {
    tables,
    samples: { length, timeNs, thread, stack, wallNs, cpuNs: wallNs, flags },
    events: [],
    lost: 0,
  }
}

// The tables are complete from the start on: making them is the session's work.
const batches = Array.from({ length: (seconds * 1000) / BATCH_MS }, (_, i) => batchOf(i))
console.log(
  `${threads} threads, depth ${depth}, ${rate} Hz, ${seconds} s, ${distinct} stacks a thread: ` +
    `a tree of ${tables.stackCount} stacks, ${tables.frames.length} frames`,
)

const model = new Model(5e9)
const scene = {
  model,
  state: initialState(),
  target: { pid: 1, command: 'bench', pythonVersion: '3.12.1' },
  pace: { rate, cut: 0, failed: 0, ownCpu: 0, engine: 'snapshot' },
  rate,
  windowNs: 5e9,
  ended: null,
  output: [],
}
// What is new costs most, and most of it comes at the start: apart from what goes on.
const started = performance.now()
model.add(batches[0]!)
model.close(1e7)
console.log(`the first interval, with all stacks new: ${(performance.now() - started).toFixed(0)} ms`)
const before = process.cpuUsage()
let slowest = 0
batches.forEach((one, i) => {
  const started = performance.now()
  model.add(one)
  if (i % 50 === 49) {
    model.close(5e8)
    for (const line of draw(scene, { columns: 200, rows: 50 })) paint(line, 200, 'all')
  }
  slowest = Math.max(slowest, performance.now() - started)
})
const { user, system } = process.cpuUsage(before)
const cpu = (user + system) / 1e6
console.log(
  `CPU ${cpu.toFixed(2)} s: ${((100 * cpu) / seconds).toFixed(2)} % of a core; slowest step ${slowest.toFixed(1)} ms`,
)
