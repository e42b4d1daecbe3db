/** What `top` adds up, apart from any terminal. */
import test from 'ava'
import { functionRows, lineRows, threadRows } from '../src/cli/top/lists.js'
import { Model } from '../src/cli/top/model/model.js'
import { PaceMeter } from '../src/cli/top/model/pace.js'
import { Interval, Rolling } from '../src/cli/top/model/sums.js'
import { initialState, type State } from '../src/cli/top/state.js'
import { batch, FakeTables, frame, HEALTH, MISSING } from './helpers/session.js'

const MAIN = frame('main app.py:1')
const WORK = frame('work app.py:10')
const WORK_LATER = { ...WORK, line: 12 }

/** Functions by name: ms self and total, now and overall. */
function times(model: Model, state: Partial<State> = {}) {
  const rows = functionRows(model, initialState(state))
  const ms = (ns: number) => ns / 1e6
  return Object.fromEntries(
    rows.map(({ place, selfNow, totalNow, self, total }) => [
      place.name,
      [ms(selfNow), ms(totalNow), ms(self), ms(total)],
    ]),
  )
}

function one() {
  const tables = new FakeTables()
  const thread = tables.thread(tables.process(100), 100, 'MainThread')
  return { tables, thread, model: new Model(1e9) }
}

test('self is the innermost function, total every function on the stack', (t) => {
  const { tables, thread, model } = one()
  model.add(batch(tables, 10, [{ thread, stack: [MAIN, WORK], wallMs: 3 }]))
  model.add(batch(tables, 20, [{ thread, stack: [MAIN], wallMs: 2 }]))
  model.close(1e6)
  t.deepEqual(times(model), { work: [3, 3, 3, 3], main: [2, 5, 2, 5] })
})

test('recursion counts once', (t) => {
  const { tables, thread, model } = one()
  const stacks = [
    [MAIN, WORK, WORK_LATER, WORK],
    [MAIN, WORK, MAIN, WORK_LATER],
    [MAIN, WORK],
  ]
  model.add(
    batch(
      tables,
      10,
      stacks.map((stack) => ({ thread, stack })),
    ),
  )
  model.close(1e6)
  t.deepEqual(times(model), { work: [3, 3, 3, 3], main: [0, 3, 0, 3] })
  const lines = lineRows(model, initialState()).map(({ place, self, total }) => [
    place.name,
    place.line,
    self,
    total,
  ])
  t.deepEqual(lines, [
    ['work', 10, 2e6, 3e6],
    ['work', 12, 1e6, 2e6],
    ['main', 1, 0, 3e6],
  ])
})

test('totals are those of adding up every stack by itself, in whatever order stacks appear', (t) => {
  const { tables, thread, model } = one()
  let seed = 7
  const random = (n: number) => {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * n)
  }
  const names = ['a', 'b', 'c', 'd', 'e']
  const expected = new Map<string, [number, number]>()
  for (let interval = 1; interval <= 20; interval++) {
    const samples = Array.from({ length: 50 }, () => {
      const stack = Array.from({ length: random(9) }, () => frame(`${names[random(5)]} x.py:${random(3)}`))
      const wallMs = 1 + random(5)
      const self = stack.at(-1)?.name ?? '[no Python frames]'
      for (const name of new Set([self, ...stack.map(({ name }) => name)])) {
        const sums = expected.get(name) ?? [0, 0]
        expected.set(name, [sums[0] + (name === self ? wallMs : 0), sums[1] + wallMs])
      }
      return { thread, stack, wallMs }
    })
    model.add(batch(tables, interval * 100, samples))
    model.close(1e8)
  }
  const seen = Object.entries(times(model)).map(([name, [, , self, total]]) => [name, [self, total]])
  t.deepEqual(Object.fromEntries(seen), Object.fromEntries(expected))
})

test('now forgets what is older than the window, exactly', (t) => {
  const { tables, thread, model } = one()
  for (let i = 1; i <= 5; i++) {
    model.add(batch(tables, i * 500, [{ thread, stack: i <= 2 ? [MAIN] : [WORK], wallMs: 500 }]))
    model.close(5e8)
    if (i === 2) t.deepEqual(times(model), { main: [1000, 1000, 1000, 1000] })
    if (i === 3) t.is(model.tally.functions.nowNs, 1e9)
  }
  t.deepEqual(times(model), { work: [1000, 1000, 1500, 1500], main: [0, 0, 1000, 1000] })
  t.is(model.tally.functions.overallNs, 2.5e9)
})

test('each mode has its own time', (t) => {
  const { tables, thread, model } = one()
  model.add(
    batch(tables, 10, [
      { thread, stack: [MAIN], wallMs: 4, cpuMs: 1 },
      { thread, stack: [WORK], wallMs: 2, cpuMs: 0, onCpu: false, holdsGil: true },
      { thread, stack: [frame('sleep')], wallMs: 8, onCpu: false },
    ]),
  )
  model.close(1e7)
  const self = (measure: State['measure']) =>
    Object.fromEntries(Object.entries(times(model, { measure })).map(([name, [, , self]]) => [name, self]))
  t.deepEqual(self('wall'), { main: 4 })
  t.deepEqual(self('all'), { sleep: 8, main: 4, work: 2 })
  t.deepEqual(self('cpu'), { main: 1 })
  t.deepEqual(self('gil'), { main: 4, work: 2 })
})

test('cut stacks and threads without Python frames are nobody else’s self time', (t) => {
  const { tables, thread, model } = one()
  model.add(
    batch(tables, 10, [
      { thread, stack: [MAIN, MISSING], cut: true },
      { thread, stack: [], wallMs: 2 },
    ]),
  )
  model.close(1e7)
  t.deepEqual(times(model), {
    '[no Python frames]': [2, 2, 2, 2],
    '[missing: stack cut]': [1, 1, 1, 1],
    main: [0, 1, 0, 1],
  })
})

test('a pause freezes what is shown, counts on, and begins now anew', (t) => {
  const { tables, thread, model } = one()
  model.add(batch(tables, 100, [{ thread, stack: [MAIN], wallMs: 100 }]))
  model.close(1e8)
  model.pause(true)
  model.add(batch(tables, 900, [{ thread, stack: [WORK], wallMs: 800 }]))
  model.close(8e8)
  t.deepEqual(times(model), { main: [100, 100, 100, 100] })
  t.is(model.framesOf(model.threads()[0]!.stack)[0]!.name, 'main')
  model.pause(false)
  model.close(1e6)
  t.deepEqual(times(model), { work: [0, 0, 800, 800], main: [0, 0, 100, 100] })
  t.is(model.tally.functions.overallNs, 9e8)
  model.add(batch(tables, 1000, [{ thread, stack: [WORK], wallMs: 100 }]))
  model.close(1e8)
  t.deepEqual(times(model)['work'], [100, 100, 900, 900])
  t.is(model.tally.functions.nowNs, 1e8)
})

test('reset begins anew', (t) => {
  const { tables, thread, model } = one()
  model.add(batch(tables, 100, [{ thread, stack: [MAIN] }], { lost: 4 }))
  model.close(1e8)
  t.is(model.lost, 4)
  model.reset()
  t.deepEqual(times(model), {})
  t.is(model.lost, 0)
  model.add(batch(tables, 200, [{ thread, stack: [WORK] }]))
  model.close(1e8)
  t.deepEqual(times(model), { work: [1, 1, 1, 1] })
  t.is(model.tally.functions.overallNs, 1e8)
})

test('a scope counts one thread or process from its choice on', (t) => {
  const { tables, thread, model } = one()
  const other = tables.thread(tables.process(200), 200, 'worker')
  const both = (time: number) =>
    batch(tables, time, [
      { thread, stack: [MAIN] },
      { thread: other, stack: [WORK] },
    ])
  model.add(both(100))
  model.close(1e8)
  model.scope = { thread: other.id }
  model.add(both(200))
  model.close(1e8)
  t.deepEqual(times(model), { work: [1, 1, 1, 1] })
  model.scope = { process: thread.process.id }
  model.add(both(300))
  model.close(1e8)
  t.deepEqual(times(model), { main: [1, 1, 1, 1] })
  model.scope = null
  t.deepEqual(times(model), { main: [3, 3, 3, 3], work: [3, 3, 3, 3] })
})

test('threads and processes that have ended are shown for the window and then forgotten', (t) => {
  const { tables, thread, model } = one()
  const other = tables.thread(thread.process, 101, 'short')
  model.add(
    batch(tables, 500, [
      { thread, stack: [MAIN] },
      { thread: other, stack: [WORK] },
    ]),
  )
  model.close(5e8)
  t.is(model.threads().length, 2)
  model.add(
    batch(tables, 1000, [{ thread, stack: [MAIN] }], { events: [{ type: 'thread-end', thread: other }] }),
  )
  model.close(5e8)
  t.deepEqual(
    threadRows(model, initialState({ threadSort: 'name' })).map(({ info, ended, onCpu }) => [
      info.name,
      ended,
      onCpu,
    ]),
    [
      ['MainThread', false, true],
      ['short', true, false],
    ],
  )
  t.is(model.processes()[0]!.threads, 1)
  for (let i = 3; i < 8; i++) {
    model.add(batch(tables, i * 500, [{ thread, stack: [MAIN] }]))
    model.close(5e8)
  }
  t.deepEqual(
    model.threads().map(({ info }) => info.name),
    ['MainThread'],
  )
})

test('a target that shows nothing still has a time', (t) => {
  const { tables, thread, model } = one()
  model.add(batch(tables, 1000, [{ thread, stack: [MAIN], wallMs: 1000 }]))
  t.true(model.close(1e9))
  t.false(model.close(5e8))
  t.is(model.tally.functions.overallNs, 1e9)
  t.true(model.close(1e9))
  t.is(model.tally.functions.overallNs, 2e9)
  t.deepEqual(times(model), { main: [0, 0, 1000, 1000] })
})

test('sums of an interval: any order of indices, cleared to nothing', (t) => {
  const interval = new Interval(2)
  for (const id of [70_000, 3, 500, 3]) interval.sums[interval.at(id) + 1]! += id
  const seen: [number, number][] = []
  interval.descending((id, at) => seen.push([id, interval.sums[at + 1]!]))
  t.deepEqual(seen, [
    [70_000, 70_000],
    [500, 500],
    [3, 6],
  ])
  interval.clear()
  t.is(interval.length, 0)
  t.is(interval.sums[interval.at(3) + 1], 0)
})

test('one interval that is longer than the window is the window', (t) => {
  const rolling = new Rolling(1, 10)
  const interval = new Interval(1)
  interval.sums[interval.at(1)] = 5
  rolling.add(interval, 100)
  t.is(rolling.nowNs, 100)
  interval.sums[interval.at(1)] = 7
  rolling.add(interval, 10)
  t.deepEqual([rolling.nowNs, rolling.now[1], rolling.overall[1]], [10, 7, 12])
})

test('the sampler’s health is that of the last seconds', (t) => {
  const meter = new PaceMeter(1e9)
  t.deepEqual(meter.pace(), { rate: 0, cut: 0, failed: 0, ownCpu: 0, engine: '', offcpu: false })
  meter.add({ ...HEALTH, elapsedNs: 1e9, rounds: 1000, samples: 1000, cut: 0, cpuNs: 1e7 })
  t.is(meter.pace().rate, 1000)
  meter.add({ ...HEALTH, elapsedNs: 2e9, rounds: 1500, samples: 1500, cut: 250, failed: 50, cpuNs: 3e7 })
  t.deepEqual(meter.pace(), {
    rate: 500,
    cut: 0.5,
    failed: 0.1,
    ownCpu: 0.02,
    engine: 'snapshot',
    offcpu: false,
  })
  meter.add({ ...HEALTH, elapsedNs: 3e9, rounds: 2500, samples: 2500, cut: 250, failed: 50, cpuNs: 3e7 })
  t.deepEqual(meter.pace(), { rate: 1000, cut: 0, failed: 0, ownCpu: 0, engine: 'snapshot', offcpu: false })
})
