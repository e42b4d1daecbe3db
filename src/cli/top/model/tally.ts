/** Self and total time of functions and lines, now and overall. */
import type { Samples, Tables } from '../source.js'
import { addSample, COUNT } from './measure.js'
import type { Grouping, Places } from './places.js'
import { Interval, Rolling } from './sums.js'

/** Self time by measure, then total time by measure. */
const WIDTH = 2 * COUNT
export const TOTAL = COUNT

export class Tally {
  readonly #places: Places
  /** Time by stack, as it comes: adding a sample costs the same at every depth. */
  readonly #stacks = new Interval(COUNT)
  readonly #interval = new Interval(WIDTH)
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
    const ways: [Grouping, Rolling][] = [
      [this.#places.functions, this.functions],
      [this.#places.lines, this.lines],
    ]
    // Only these have time of their own; the rest are their callers.
    const own = this.#stacks.sums.slice(0, this.#stacks.length * COUNT)
    this.#addCallers(tables)
    this.#passUp(tables)
    for (const [grouping, rolling] of ways) {
      this.#group(grouping, own)
      if (afterPause) {
        rolling.forget()
        rolling.addOverall(this.#interval, durationNs)
      } else rolling.add(this.#interval, durationNs)
      this.#interval.clear()
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

  #group(grouping: Grouping, own: Float64Array): void {
    const { ids, sums, length } = this.#stacks
    const into = this.#interval
    for (let i = 0; i < length; i++) {
      const stack = ids[i]!
      const from = i * COUNT
      const hasOwn = from < own.length
      // Everything comes together in the empty stack; only its own time is that of threads without Python frames.
      const total = stack === 0 ? own : grouping.isFirst(stack) ? sums : null
      if (!hasOwn && (total === null || stack === 0)) continue
      const at = into.at(grouping.placeOf(stack))
      if (hasOwn) for (let k = 0; k < COUNT; k++) into.sums[at + k]! += own[from + k]!
      if (total) for (let k = 0; k < COUNT; k++) into.sums[at + TOTAL + k]! += total[from + k]!
    }
  }
}
