/** A busy web shop as `top` sees it, made by hand: the same at every run. */
import { Model } from '../../src/cli/top/model/model.js'
import { initialState, type State } from '../../src/cli/top/state.js'
import type { Scene } from '../../src/cli/top/views/context.js'
import { batch, FakeTables, frame, MISSING, type SampleSpec } from './session.js'

const RUN = frame('Thread.run /usr/lib/python3.12/threading.py:1012', { firstLine: 1010 })
const MAIN = frame('<module> /srv/shop/main.py:40')
const SERVE = frame('Shop.serve /srv/shop/shop.py:31', { firstLine: 28 })
const RENDER = frame('Shop.render /srv/shop/shop.py:55', { firstLine: 50 })
const DUMPS = frame('JSONEncoder.iterencode /usr/lib/python3.12/json/encoder.py:258', { firstLine: 230 })
const PRICE = frame('価格を計算する /srv/shop/価格.py:12', { firstLine: 10 })
const WAIT = frame('Queue.get /usr/lib/python3.12/queue.py:171', { firstLine: 150 })
const NUMPY = frame('DOUBLE_matmul /usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.so', {
  kind: 'native',
  line: null,
  firstLine: null,
})
const KERNEL = frame('ksys_read [kernel]', { kind: 'kernel', line: null, firstLine: null })
const DOT = frame('Plan.dot /usr/lib/python3/dist-packages/planner/plan.py:77', { firstLine: 70 })
const FIB = frame('fib /srv/shop/fib.py:3')

export function shop() {
  const model = new Model(5e9)
  const tables = new FakeTables()
  const process = tables.process(3028, { command: ['python3', '/srv/shop/main.py', '--port', '8000'] })
  const child = tables.process(3050, {
    ppid: 3028,
    pythonVersion: '3.11.7',
    command: ['python3', 'worker.py'],
  })
  const shell = tables.process(3049, {
    ppid: 3028,
    pythonVersion: null,
    command: ['sh', '-c', 'python3 worker.py'],
  })
  const main = tables.thread(process, 3028, 'MainThread')
  const seller = tables.thread(process, 3031, 'seller-1')
  const waiter = tables.thread(process, 3032, 'ログ')
  const worker = tables.thread(child, 3050, 'MainThread')
  const recursion = [MAIN, ...Array.from({ length: 40 }, () => FIB)]
  const samples = (wallMs: number): SampleSpec[] => [
    { thread: main, stack: [MAIN, SERVE, RENDER, DUMPS], wallMs: 4 * wallMs },
    { thread: main, stack: [MAIN, SERVE, RENDER], wallMs: wallMs },
    { thread: main, stack: [MAIN, SERVE, PRICE], wallMs: 3 * wallMs },
    { thread: main, stack: [MAIN, SERVE, RENDER, MISSING], wallMs: wallMs / 2, cut: true },
    { thread: main, stack: recursion, wallMs: 1.5 * wallMs },
    { thread: seller, stack: [RUN, SERVE, DOT, NUMPY], wallMs: 2 * wallMs, holdsGil: false },
    { thread: seller, stack: [RUN, SERVE, WAIT, KERNEL], wallMs: 8 * wallMs, onCpu: false },
    { thread: waiter, stack: [RUN, WAIT], wallMs: 10 * wallMs, onCpu: false },
    { thread: worker, stack: [MAIN, FIB], wallMs: 9.5 * wallMs },
    { thread: worker, stack: [], wallMs: 0.5 * wallMs },
  ]
  const events = [{ type: 'process-start' as const, process: shell }]
  model.add(batch(tables, 55_000, samples(5000), { events }))
  model.close(55e9)
  for (let second = 56; second <= 60; second++) {
    model.add(batch(tables, second * 1000, samples(100)))
    model.close(1e9)
  }
  return { model, tables, main, seller, waiter, worker, process, child }
}

export function shopScene(state: Partial<State> = {}, more: Partial<Scene> = {}): Scene {
  const { model } = shop()
  return {
    model,
    state: initialState(state),
    target: { pid: 3028, command: 'python3 /srv/shop/main.py --port 8000', pythonVersion: '3.12.1' },
    pace: { rate: 998.7, cut: 0.05, failed: 0.0012, ownCpu: 0.062, engine: 'snapshot', offcpu: false },
    rate: 1000,
    windowNs: 5e9,
    ended: null,
    output: [],
    ...more,
  }
}
