/** What each thread and process did lately. */
import { type Batch, FLAG, type Process, type Tables, type Thread } from '../source.js'
import { addSample, COUNT } from './measure.js'

/** Sums by measure over the last intervals and over all, for things that come and go. */
class Sums {
  #open = new Float64Array(COUNT)
  #kept: Float64Array[] = []
  now = new Float64Array(COUNT)
  overall = new Float64Array(COUNT)

  add(flags: number, wallNs: number, cpuNs: number): void {
    addSample(this.#open, 0, flags, wallNs, cpuNs)
  }

  close(intervals: number): void {
    const open = this.#open
    this.#kept.push(open)
    this.#open = new Float64Array(COUNT)
    for (let k = 0; k < COUNT; k++) {
      this.now[k]! += open[k]!
      this.overall[k]! += open[k]!
    }
    while (this.#kept.length > intervals) {
      const old = this.#kept.shift()!
      for (let k = 0; k < COUNT; k++) this.now[k]! -= old[k]!
    }
  }

  clear(): void {
    this.#open.fill(0)
    this.overall.fill(0)
    this.#kept = []
    this.now.fill(0)
  }
}

export interface ThreadActivity {
  info: Thread
  ended: boolean
  onCpu: boolean
  holdsGil: boolean
  cut: boolean
  /** At the last look. */
  stack: number
  /** ns by measure. */
  now: Float64Array
  overall: Float64Array
}

export interface ProcessActivity {
  info: Process
  ended: boolean
  threads: number
  now: Float64Array
  overall: Float64Array
}

class Entry {
  readonly id: number
  readonly sums = new Sums()
  ended = false
  /** Intervals since it was last seen. */
  unseen = 0
  stack = 0
  flags = 0
  /** What the views show: as of the end of the last interval. */
  shownStack = 0
  shownFlags = 0
  constructor(id: number) {
    this.id = id
  }
}

/** Ids are never used again, so what has ended is forgotten when it leaves the window. */
export class Activity {
  readonly #threads = new Map<number, Entry>()
  readonly #processes = new Map<number, Entry>()

  add({ samples, events, tables }: Batch): void {
    const { length, thread, stack, wallNs, cpuNs, flags } = samples
    let entry: Entry | undefined
    let process: Entry | undefined
    for (let i = 0; i < length; i++) {
      const id = thread[i]!
      if (entry?.id !== id) {
        entry = entryOf(this.#threads, id)
        process = undefined
        const owner = tables.threads.get(id)?.process
        if (owner) process = entryOf(this.#processes, owner.id)
      }
      entry.stack = stack[i]!
      entry.flags = flags[i]!
      entry.unseen = 0
      entry.sums.add(flags[i]!, wallNs[i]!, cpuNs[i]!)
      if (process) {
        process.unseen = 0
        process.sums.add(flags[i]!, wallNs[i]!, cpuNs[i]!)
      }
    }
    for (const event of events) {
      const entry =
        'thread' in event
          ? entryOf(this.#threads, event.thread.id)
          : entryOf(this.#processes, event.process.id)
      entry.ended = event.type === 'thread-end' || event.type === 'process-exit'
    }
  }

  /** `intervals`: how many make up "now". */
  close(intervals: number): void {
    for (const map of [this.#threads, this.#processes]) {
      for (const entry of map.values()) {
        entry.sums.close(intervals)
        entry.shownStack = entry.stack
        entry.shownFlags = entry.flags
        // A thread is looked at every time. A process may have none, or no Python.
        const gone = entry.ended || map === this.#threads
        if (gone && entry.unseen++ > intervals) map.delete(entry.id)
      }
    }
  }

  clear(): void {
    for (const map of [this.#threads, this.#processes]) for (const entry of map.values()) entry.sums.clear()
  }

  threads(tables: Tables): ThreadActivity[] {
    return [...this.#threads.values()].flatMap((entry) => {
      const info = tables.threads.get(entry.id)
      if (!info) return []
      return {
        info,
        ended: entry.ended,
        onCpu: (entry.shownFlags & FLAG.onCpu) !== 0 && !entry.ended,
        holdsGil: (entry.shownFlags & FLAG.holdsGil) !== 0 && !entry.ended,
        cut: (entry.shownFlags & FLAG.cut) !== 0,
        stack: entry.shownStack,
        now: entry.sums.now,
        overall: entry.sums.overall,
      }
    })
  }

  processes(tables: Tables): ProcessActivity[] {
    const threads = new Map<number, number>()
    for (const entry of this.#threads.values()) {
      const owner = tables.threads.get(entry.id)?.process.id
      if (owner !== undefined && !entry.ended) threads.set(owner, (threads.get(owner) ?? 0) + 1)
    }
    return [...this.#processes.values()].flatMap((entry) => {
      const info = tables.processes.get(entry.id)
      if (!info) return []
      return {
        info,
        ended: entry.ended,
        threads: threads.get(entry.id) ?? 0,
        now: entry.sums.now,
        overall: entry.sums.overall,
      }
    })
  }
}

function entryOf(map: Map<number, Entry>, id: number): Entry {
  let entry = map.get(id)
  if (!entry) {
    entry = new Entry(id)
    map.set(id, entry)
  }
  return entry
}
