/** Sums by index: what came in one interval, and how intervals add up to "now" and "since the start". */

/** Sums of one interval. Costs memory for the indices that occurred, and 4 bytes for each that could. */
export class Interval {
  readonly width: number
  /** How many indices occurred. */
  length = 0
  ids = new Int32Array(256)
  sums: Float64Array
  /** Place of an index in `ids`, plus 1. */
  #slots = new Int32Array(256)

  constructor(width: number) {
    this.width = width
    this.sums = new Float64Array(256 * width)
  }

  /** Where the sums of an index begin in `sums`; valid until the next call. */
  at(id: number): number {
    if (id >= this.#slots.length) this.#slots = grown(this.#slots, id + 1)
    let slot = this.#slots[id]!
    if (slot === 0) {
      if (this.length === this.ids.length) {
        this.ids = grown(this.ids, this.length + 1)
        this.sums = grown(this.sums, this.ids.length * this.width)
      }
      this.ids[this.length] = id
      slot = ++this.length
      this.#slots[id] = slot
    }
    return (slot - 1) * this.width
  }

  clear(): void {
    for (let i = 0; i < this.length; i++) this.#slots[this.ids[i]!] = 0
    this.sums.fill(0, 0, this.length * this.width)
    this.length = 0
  }

  /** Indices in falling order, each with where its sums begin. */
  descending(visit: (id: number, at: number) => void): void {
    const slots = this.#slots
    if (this.length * 8 > slots.length) {
      // Many of all: going through all is faster than putting many in order.
      for (let id = slots.length - 1; id >= 0; id--) {
        if (slots[id] !== 0) visit(id, (slots[id]! - 1) * this.width)
      }
      return
    }
    const ids = this.ids.slice(0, this.length).sort()
    for (let i = ids.length - 1; i >= 0; i--) visit(ids[i]!, (slots[ids[i]!]! - 1) * this.width)
  }
}

interface Kept {
  durationNs: number
  ids: Int32Array
  sums: Float64Array
}

/** Sums over the last intervals and over all of them. Whole ns in, so taking an interval out again is exact. */
export class Rolling {
  readonly #width: number
  readonly #windowNs: number
  #kept: Kept[] = []
  now: Float64Array
  overall: Float64Array
  /** Time that `now` and `overall` stand for. */
  nowNs = 0
  overallNs = 0

  constructor(width: number, windowNs: number) {
    this.#width = width
    this.#windowNs = windowNs
    this.now = new Float64Array(width * 256)
    this.overall = new Float64Array(width * 256)
  }

  /** How many intervals "now" is made of. */
  get intervals(): number {
    return this.#kept.length
  }

  /** Indices there may be sums of. */
  get length(): number {
    return this.overall.length / this.#width
  }

  add(interval: Interval, durationNs: number): void {
    const { length } = interval
    const ids = interval.ids.slice(0, length)
    const sums = interval.sums.slice(0, length * this.#width)
    this.now = this.#room(this.now, ids)
    this.#sum(this.now, ids, sums, 1)
    this.addOverall(interval, durationNs)
    this.#kept.push({ durationNs, ids, sums })
    this.nowNs += durationNs
    while (this.#kept.length > 1 && this.nowNs - this.#kept[0]!.durationNs >= this.#windowNs) {
      const old = this.#kept.shift()!
      this.nowNs -= old.durationNs
      this.#sum(this.now, old.ids, old.sums, -1)
    }
  }

  /** An interval that is not part of "now". */
  addOverall(interval: Interval, durationNs: number): void {
    const ids = interval.ids.subarray(0, interval.length)
    this.overall = this.#room(this.overall, ids)
    this.#sum(this.overall, ids, interval.sums, 1)
    this.overallNs += durationNs
  }

  /** "Now" begins anew. */
  forget(): void {
    this.#kept = []
    this.now.fill(0)
    this.nowNs = 0
  }

  clear(): void {
    this.forget()
    this.overall.fill(0)
    this.overallNs = 0
  }

  #room(array: Float64Array, ids: Int32Array): Float64Array {
    let highest = -1
    for (const id of ids) if (id > highest) highest = id
    const needed = (highest + 1) * this.#width
    return needed > array.length ? grown(array, needed) : array
  }

  #sum(into: Float64Array, ids: Int32Array, sums: Float64Array, sign: 1 | -1): void {
    const width = this.#width
    for (let i = 0; i < ids.length; i++) {
      const to = ids[i]! * width
      const from = i * width
      for (let k = 0; k < width; k++) into[to + k]! += sign * sums[from + k]!
    }
  }
}

function grown(array: Int32Array, length: number): Int32Array<ArrayBuffer>
function grown(array: Float64Array, length: number): Float64Array<ArrayBuffer>
function grown(array: Int32Array | Float64Array, length: number): Int32Array | Float64Array {
  const size = Math.max(length, array.length * 2)
  const result = array instanceof Int32Array ? new Int32Array(size) : new Float64Array(size)
  result.set(array)
  return result
}
