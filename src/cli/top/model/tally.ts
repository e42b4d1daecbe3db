/** Self and total time of functions and lines, now and overall. */
import type { Samples, Tables } from '../source.js'
import { addSample, COUNT } from './measure.js'
import type { Places } from './places.js'
import { Interval, Rolling } from './sums.js'

/** Self time by measure, then total time by measure. */
const WIDTH = 2 * COUNT
export const TOTAL = COUNT

export class Tally {
  readonly #places: Places
  /** Time by stack, as it comes: adding a sample costs the same at every depth. */
  readonly #stacks = new Interval(COUNT)
  readonly #byFunction = new Interval(WIDTH)
  readonly #byLine = new Interval(WIDTH)
  readonly functions: Rolling
  readonly lines: Rolling

  constructor(places: Places, windowNs: number) {
    this.#places = places
    this.functions = new Rolling(WIDTH, windowNs)
    this.lines = new Rolling(WIDTH, windowNs)
  }

  /** `accepts`: by thread; absent: all. */
  add(samples: Samples, accepts?: (thread: number) => boolean): void {
    const { length, thread, stack, wallNs, cpuNs, flags } = samples
    const stacks = this.#stacks
    for (let i = 0; i < length; i++) {
      if (accepts && !accepts(thread[i]!)) continue
      const at = stacks.at(stack[i]!)
      addSample(stacks.sums, at, flags[i]!, wallNs[i]!, cpuNs[i]!)
    }
  }

  /** Ends the interval. Those of a pause are long: they are no part of "now", which begins anew. */
  close(tables: Tables, durationNs: number, afterPause = false): void {
    // Only these have time of their own; the rest are their callers.
    const own = this.#stacks.sums.slice(0, this.#stacks.length * COUNT)
    this.#addCallers(tables)
    this.#passUp(tables)
    this.#group(own)
    const ways: [Interval, Rolling][] = [
      [this.#byFunction, this.functions],
      [this.#byLine, this.lines],
    ]
    for (const [interval, rolling] of ways) {
      if (afterPause) {
        rolling.forget()
        rolling.addOverall(interval, durationNs)
      } else rolling.add(interval, durationNs)
      interval.clear()
    }
    this.#stacks.clear()
  }

  clear(): void {
    this.#stacks.clear()
    this.functions.clear()
    this.lines.clear()
  }

  #addCallers(tables: Tables): void {
    const stacks = this.#stacks
    for (let i = 0; i < stacks.length; i++) {
      // The loop reaches what it adds: a caller that is there already brings its own callers.
      const stack = stacks.ids[i]!
      if (stack !== 0) stacks.at(tables.parentOf(stack))
    }
  }

  /** Own time becomes the time of a stack and everything that it called. */
  #passUp(tables: Tables): void {
    const stacks = this.#stacks
    stacks.descending((stack, at) => {
      if (stack === 0) return
      const to = stacks.at(tables.parentOf(stack))
      for (let k = 0; k < COUNT; k++) stacks.sums[to + k]! += stacks.sums[at + k]!
    })
  }

  #group(own: Float64Array): void {
    const { functions, lines } = this.#places
    const { ids, sums, length } = this.#stacks
    for (let i = 0; i < length; i++) {
      const stack = ids[i]!
      const at = i * COUNT
      const hasOwn = at < own.length
      if (stack === 0) {
        // Everything comes together here; only its own time is that of threads without Python frames.
        if (!hasOwn) continue
        add(this.#byFunction, functions.placeOf(0), own, own, at)
        add(this.#byLine, lines.placeOf(0), own, own, at)
      } else {
        const self = hasOwn ? own : null
        add(this.#byFunction, functions.placeOf(stack), self, functions.isFirst(stack) ? sums : null, at)
        add(this.#byLine, lines.placeOf(stack), self, lines.isFirst(stack) ? sums : null, at)
      }
    }
  }
}

function add(
  into: Interval,
  place: number,
  self: Float64Array | null,
  total: Float64Array | null,
  from: number,
): void {
  if (!self && !total) return
  const at = into.at(place)
  const { sums } = into
  if (self) for (let k = 0; k < COUNT; k++) sums[at + k]! += self[from + k]!
  if (total) for (let k = 0; k < COUNT; k++) sums[at + TOTAL + k]! += total[from + k]!
}
