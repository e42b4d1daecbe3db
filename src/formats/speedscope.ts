/**
 * speedscope's own format (https://www.speedscope.app/file-format-schema.json): sampled profiles, weights in
 * ns of the mode's time, in order of time when the order was kept.
 */
import type { RawEntries, RawProfile } from '../raw.js'
import { frameShown, framesOf, NO_PYTHON, processName, threadName, weightColumn } from './frames.js'
import type { Described, FormatOptions } from './input.js'

interface SpeedscopeFrame {
  name: string
  file?: string
  line?: number
  col?: number
}

interface Sampled {
  type: 'sampled'
  name: string
  unit: 'nanoseconds'
  startValue: 0
  endValue: number
  samples: number[][]
  weights: number[]
}

export function speedscope(raw: RawProfile, about: Described, options: FormatOptions): string {
  const { threads = false, lines = false } = options
  const table = new FrameTable(raw, lines)
  const profiles = new Map<number, Sampled>()
  const title = `pid ${about.pid}, CPython ${about.pythonVersion}`
  const keyOf = (thread: number) =>
    threads ? thread : about.subprocesses ? raw.threads[thread]!.process : -1
  for (const thread of threadsInOrder(raw, about)) {
    const key = keyOf(thread)
    if (!profiles.has(key))
      profiles.set(key, empty(nameOf(raw, thread, threads, about.subprocesses) || title))
  }
  // The schema wants one.
  if (profiles.size === 0) profiles.set(-1, empty(title))
  for (const { thread, stack, weight } of events(raw, about)) {
    const profile = profiles.get(keyOf(thread))!
    profile.samples.push(table.stack(stack))
    profile.weights.push(weight)
    profile.endValue += weight
  }
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    exporter: 'pyprof-rs',
    name: title,
    activeProfileIndex: 0,
    shared: { frames: table.frames },
    profiles: [...profiles.values()],
  })
}

function empty(name: string): Sampled {
  return { type: 'sampled', name, unit: 'nanoseconds', startValue: 0, endValue: 0, samples: [], weights: [] }
}

function nameOf(raw: RawProfile, thread: number, threads: boolean, processes: boolean): string {
  const info = raw.threads[thread]!
  const parts = [
    ...(processes ? [processName(raw.processes[info.process]!)] : []),
    ...(threads ? [threadName(info)] : []),
  ]
  return parts.join(', ')
}

/** speedscope knows a frame by all it shows of it. */
class FrameTable {
  readonly frames: SpeedscopeFrame[] = []
  readonly #raw: RawProfile
  readonly #ids: number[]
  readonly #stacks = new Map<number, number[]>()
  readonly #byText = new Map<string, number>()

  constructor(raw: RawProfile, lines: boolean) {
    this.#raw = raw
    this.#ids = Array.from(raw.frames.kind, (_, frame) => this.#add(describe(raw, frame, lines)))
  }

  stack(id: number): number[] {
    let frames = this.#stacks.get(id)
    if (!frames) {
      frames = framesOf(this.#raw, id).map((frame) => this.#ids[frame]!)
      if (frames.length === 0) frames.push(this.#add({ name: NO_PYTHON }))
      this.#stacks.set(id, frames)
    }
    return frames
  }

  #add(frame: SpeedscopeFrame): number {
    const text = JSON.stringify(frame)
    let id = this.#byText.get(text)
    if (id === undefined) {
      id = this.frames.push(frame) - 1
      this.#byText.set(text, id)
    }
    return id
  }
}

function describe(raw: RawProfile, frame: number, lines: boolean): SpeedscopeFrame {
  const { name, file, line } = frameShown(raw, frame, lines)
  const column = lines ? raw.frames.column[frame]! : 0
  return { name, ...(file && { file }), ...(line && { line }), ...(column && { col: column }) }
}

interface Event {
  thread: number
  stack: number
  weight: number
}

/** The samples in order of time, and then what was only summed up because the order had reached its bound. */
function* events(raw: RawProfile, { mode }: Described): Generator<Event> {
  const left = new Map<string, Event>()
  const weights = weightColumn(raw.entries, mode)
  for (let i = 0; i < weights.length; i++) {
    const event = at(raw.entries, i, weights)
    left.set(`${event.thread} ${event.stack}`, event)
  }
  const ordered = weightColumn(raw.timeline, mode)
  for (let i = 0; i < ordered.length; i++) {
    const event = at(raw.timeline, i, ordered)
    const sum = left.get(`${event.thread} ${event.stack}`)
    if (sum) sum.weight -= event.weight
    if (event.weight > 0) yield event
  }
  for (const event of left.values()) if (event.weight > 0) yield event
}

function at(entries: RawEntries, i: number, weights: Float64Array): Event {
  return { thread: entries.thread[i]!, stack: entries.stack[i]!, weight: weights[i]! }
}

/** The main thread of the process first, then other processes' main threads, then those with the most time. */
function threadsInOrder(raw: RawProfile, about: Described): number[] {
  const sums = new Float64Array(raw.threads.length)
  const weights = weightColumn(raw.entries, about.mode)
  for (let i = 0; i < weights.length; i++) sums[raw.entries.thread[i]!]! += weights[i]!
  const rank = (thread: number) => {
    const { tid, pid } = raw.threads[thread]!
    return Number(tid === pid) + Number(tid === about.pid)
  }
  return [...sums.keys()].sort((a, b) => rank(b) - rank(a) || sums[b]! - sums[a]!)
}
