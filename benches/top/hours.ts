/**
 * What `top` keeps over hours: threads come and go each second, the stacks stay the same. Prints the heap by hour; it
 * must not grow.
 *
 *     node --expose-gc --import tsx benches/top/hours.ts [hours]
 */
import { batch, FakeTables, frame } from '../../__test__/helpers/session.js'
import { Model } from '../../src/cli/top/model/model.js'
import { initialState } from '../../src/cli/top/state.js'
import { frame as draw } from '../../src/cli/top/views/frame.js'

const [hours = 8] = process.argv.slice(2).map(Number)
const INTERVAL_MS = 500

const tables = new FakeTables()
const model = new Model(5e9)
const process_ = tables.process(1)
const main = tables.thread(process_, 1, 'MainThread')
const stacks = Array.from({ length: 500 }, (_, i) => [frame('main a.py:1'), frame(`f${i % 50} a.py:${i}`)])
let short = tables.thread(process_, 2, 'short')

for (let interval = 1; interval <= (hours * 3.6e6) / INTERVAL_MS; interval++) {
  const time = interval * INTERVAL_MS
  const before = short
  const changes = interval % 2 === 0
  if (changes) {
    // The session's own tables are not what is measured here.
    tables.threads.delete(before.id)
    short = { ...before, id: before.id + 1, tid: before.tid + 1 }
    tables.threads.set(short.id, short)
  }
  const samples = [main, short].map((thread, i) => ({
    thread,
    stack: stacks[(interval * 7 + i) % stacks.length]!,
    wallMs: INTERVAL_MS,
  }))
  const events = changes ? [{ type: 'thread-end' as const, thread: before }] : []
  model.add(batch(tables, time, samples, { events }))
  model.close(INTERVAL_MS * 1e6)
  if (interval % 600 === 0) {
    draw(
      {
        model,
        state: initialState(),
        target: { pid: 1, command: '', pythonVersion: null },
        pace: { rate: 1000, cut: 0, failed: 0, ownCpu: 0, engine: 'snapshot' },
        rate: 1000,
        windowNs: 5e9,
        ended: null,
        output: [],
      },
      { columns: 80, rows: 24 },
    )
  }
  if (time % 3.6e6 === 0) {
    globalThis.gc!()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    const kept = model.threads().length
    console.log(
      `${time / 3.6e6} h: heap ${(heapUsed / 1e6).toFixed(2)} MB, arrays ${(arrayBuffers / 1e6).toFixed(2)} MB, ${kept} threads kept`,
    )
  }
}
