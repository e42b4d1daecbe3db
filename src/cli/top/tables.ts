/** `top` without a terminal: one table for each interval, for scripts and logs. */
import { PyprofError } from '../../errors.js'
import { plain } from '../terminal/plain.js'
import { ENDS } from '../terminal/summary.js'
import { table } from '../terminal/table.js'
import { count, percent, time } from '../terminal/units.js'
import { failed } from './failed.js'
import { functionRows, lineRows, processRows, threadRows } from './lists.js'
import { measureIndex } from './model/measure.js'
import { Model } from './model/model.js'
import { engineText, type Pace, PaceMeter } from './model/pace.js'
import type { Plan } from './plan.js'
import { report } from './report.js'
import type { Source, Startable } from './source.js'
import type { View } from './state.js'
import { placeName, placeWhere, share } from './views/text.js'
import { threadState } from './views/threads.js'

interface Printing {
  pid: number
  plan: Plan
}

const INTERVAL_MS = 1000
/** A session needs some time until its first sample; after this there is nothing to see. */
const START_MS = 3000

/**
 * Prints until the duration, the count or the target is over, or a signal comes; the exit status.
 *
 * @throws {PyprofError} when the target cannot be looked into, or ended before anything was seen
 */
export async function printTables(plan: Plan, target: Startable): Promise<number> {
  const stop = new AbortController()
  const putBack = onEnding(() => stop.abort())
  let source: Source | undefined
  try {
    source = await target.open(plan, stop.signal)
    await print(source, { pid: target.pid, plan }, stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) return await failed(error, target)
  } finally {
    await source?.close()
    putBack()
  }
  return target.leave(source?.ended === 'exited')
}

async function print(source: Source, printing: Printing, signal: AbortSignal): Promise<void> {
  const { interval = INTERVAL_MS, duration = Infinity, count = Infinity } = printing.plan
  const model = new Model(0)
  const pace = new PaceMeter(0)
  let seen = 0
  let over = false
  const left = new AbortController()
  const stop = () => left.abort()
  signal.addEventListener('abort', stop)
  const follow = (async () => {
    try {
      for await (const batch of source.batches()) {
        model.add(batch)
        seen += batch.samples.length
      }
    } finally {
      over = true
    }
  })()
  follow.then(stop, stop)
  pace.add(source.stats)
  const started = performance.now()
  let before = started
  let printed = 0
  for (let number = 1; printed < count && !over && !signal.aborted; number++) {
    // Counted from the start: no interval is late because those before it were.
    const due = Math.min(number * interval, duration)
    await pause(started + due - performance.now(), left.signal)
    const now = performance.now()
    const starting = seen === 0 && (over || now - started < START_MS)
    // An interval without news goes on, rather than being printed again.
    if (!starting && model.close((now - before) * 1e6)) {
      before = now
      pace.add(source.stats)
      if (!(await write(text(model, pace.pace(), printing)))) return
      printed++
    }
    if (due >= duration) return
  }
  if (!over) return
  await follow
  if (seen === 0 && source.ended === 'exited') {
    throw new PyprofError('ERR_PYPROF_PROCESS_EXITED', 'the target ended before anything was seen')
  }
  process.stderr.write(`pyprof-rs: ${ENDS[source.ended ?? 'stopped']}\n`)
}

/** False when nobody reads any more. */
function write(text: string): Promise<boolean> {
  return new Promise((resolve) => process.stdout.write(text, (error) => resolve(!error)))
}

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The second signal ends the program as it would without us. */
function onEnding(stop: () => void): () => void {
  for (const name of ENDING) process.once(name, stop)
  return () => {
    for (const name of ENDING) process.off(name, stop)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}

function text(model: Model, pace: Pace, printing: Printing): string {
  const { plan } = printing
  return plan.json
    ? `${JSON.stringify(report(model, pace, printing))}\n`
    : `${head(model, pace, printing)}\n${BODIES[plan.state.view]!(model, plan)}\n`
}

const CPU = measureIndex('cpu')
const GIL = measureIndex('gil')
const WALL = measureIndex('wall')

function head(model: Model, pace: Pace, { pid, plan: { rate, state } }: Printing): string {
  const { nowNs, overallNs } = model.tally.functions
  const threads = model.threads().filter(({ ended }) => !ended)
  const sum = (measure: number) => threads.reduce((all, { now }) => all + now[measure]!, 0)
  return [
    `pid ${pid}`,
    `${time(nowNs)} of ${time(overallNs)}`,
    `time ${state.measure}`,
    `CPU ${share(sum(CPU), nowNs)}`,
    `GIL ${share(sum(GIL), nowNs)}`,
    `threads ${threads.length}, ${threads.filter(({ onCpu }) => onCpu).length} running`,
    `${pace.rate.toFixed(0)}/${rate} Hz`,
    `cut ${percent(pace.cut, 1)}`,
    `failed ${percent(pace.failed, 1)}`,
    ...(model.lost > 0 ? [`lost ${count(model.lost)}`] : []),
    `own CPU ${percent(pace.ownCpu, 1)}`,
    engineText(pace),
  ].join('  ')
}

const BODIES: Partial<Record<View, (model: Model, plan: Plan) => string>> = {
  functions: (model, plan) => places(model, functionRows(model, plan.state), plan),
  lines: (model, plan) => places(model, lineRows(model, plan.state), plan),
  threads(model, { state, limit }) {
    const { nowNs } = model.tally.functions
    const rows = threadRows(model, state)
      .slice(0, limit)
      .map((row) => {
        const frame = model.framesOf(row.stack).at(-1)
        return [
          share(row.now[CPU]!, nowNs),
          share(row.now[GIL]!, nowNs),
          share(row.now[WALL]!, nowNs),
          time(row.overall[CPU]!),
          threadState(row),
          String(row.info.pid),
          String(row.info.tid || '?'),
          plain(row.info.name),
          frame ? `${placeName(frame)}  ${placeWhere(frame, true)}` : '',
        ]
      })
    const titles = ['CPU%', 'GIL%', 'RUN%', 'CPU', 'STATE', 'PID', 'TID', 'NAME', 'AT']
    return table(columns(titles, ['CPU%', 'GIL%', 'RUN%', 'CPU', 'PID', 'TID']), rows)
  },
  processes(model, { state, limit }) {
    const { nowNs } = model.tally.functions
    const rows = processRows(model, state)
      .slice(0, limit)
      .map(({ info, ended, threads, now, overall }) => [
        share(now[CPU]!, nowNs),
        share(now[GIL]!, nowNs),
        time(overall[CPU]!),
        String(threads),
        String(info.pid),
        String(info.ppid || '?'),
        ended ? 'ended' : (info.pythonVersion ?? 'no'),
        plain(info.command.join(' ')) || '?',
      ])
    const titles = ['CPU%', 'GIL%', 'CPU', 'THREADS', 'PID', 'PARENT', 'PYTHON', 'COMMAND']
    return table(columns(titles, titles.slice(0, 6)), rows)
  },
}

function places(model: Model, rows: ReturnType<typeof functionRows>, { limit }: Plan): string {
  const { nowNs } = model.tally.functions
  const titles = ['SELF%', 'TOTAL%', 'SELF', 'TOTAL', 'FUNCTION', 'WHERE']
  return table(
    columns(titles, titles.slice(0, 4)),
    rows
      .slice(0, limit)
      .map(({ place, selfNow, totalNow, self, total }) => [
        share(selfNow, nowNs),
        share(totalNow, nowNs),
        time(self),
        time(total),
        placeName(place),
        placeWhere(place, true),
      ]),
  )
}

function columns(titles: string[], right: string[]) {
  return titles.map((title) => ({ title, right: right.includes(title) }))
}
