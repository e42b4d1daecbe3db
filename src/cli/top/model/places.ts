/** Functions and lines: what frames belong to, and where on a stack each occurs first. */
import type { Kind, Tables } from '../source.js'

/** A function, or one line of it. */
export interface Place {
  kind: Kind
  name: string
  /** A native frame's module. */
  file: string
  /** First line of the function, or the line; 0 when unknown. */
  line: number
}

export const NO_PYTHON = '[no Python frames]'
export const MISSING = '[missing: stack cut]'

/** One way to see frames: as functions or as lines. */
export interface Grouping {
  readonly places: readonly Place[]
  /** Place of a stack's last frame. */
  placeOf(stack: number): number
  /** Whether no caller on the stack is the same place: recursion counts once. */
  isFirst(stack: number): boolean
}

class Group implements Grouping {
  readonly places: Place[] = [{ kind: 'missing', name: NO_PYTHON, file: '', line: 0 }]
  /** By frame. */
  readonly ofFrame: number[] = []
  readonly #byKey = new Map<string, number>()
  readonly #lineOf: 'firstLine' | 'line'
  /** By stack: the place, and whether it occurs above already (then negative). */
  #ofStack = new Int32Array(1024)
  /** How often each place is on the path to the stack that was added last. */
  readonly #onPath: number[] = []

  constructor(lineOf: 'firstLine' | 'line') {
    this.#lineOf = lineOf
  }

  addFrame(frames: Tables['frames'], frame: number): void {
    const {
      kind,
      name,
      file: source,
      module: file = source,
      firstLine,
      [this.#lineOf]: line,
    } = frames[frame]!
    // Two functions of one line differ by their first: the lines view keeps them apart.
    const key = `${kind}\0${name}\0${file}\0${firstLine}\0${line}`
    let place = this.#byKey.get(key)
    if (place === undefined) {
      place = this.places.push({ kind, name: name || MISSING, file, line: line ?? 0 }) - 1
      this.#byKey.set(key, place)
    }
    this.ofFrame.push(place)
  }

  enter(stack: number, frame: number): void {
    const place = this.ofFrame[frame]!
    const before = this.#onPath[place] ?? 0
    this.#onPath[place] = before + 1
    if (stack >= this.#ofStack.length) {
      const grown = new Int32Array(this.#ofStack.length * 2)
      grown.set(this.#ofStack)
      this.#ofStack = grown
    }
    this.#ofStack[stack] = before > 0 ? -place : place
  }

  /** A frame of the path that leads to the stacks entered next. */
  walk(frame: number): void {
    const place = this.ofFrame[frame]!
    this.#onPath[place] = (this.#onPath[place] ?? 0) + 1
  }

  leave(frame: number): void {
    this.#onPath[this.ofFrame[frame]!]! -= 1
  }

  placeOf(stack: number): number {
    return Math.abs(this.#ofStack[stack]!)
  }

  isFirst(stack: number): boolean {
    return this.#ofStack[stack]! >= 0
  }
}

/** Follows the session's tables as they grow. */
export class Places {
  readonly #functions = new Group('firstLine')
  readonly #lines = new Group('line')
  #frames = 0
  /** Stack 0 has no frame. */
  #stacks = 1
  /** The stack added last. */
  #last = 0

  get functions(): Grouping {
    return this.#functions
  }

  get lines(): Grouping {
    return this.#lines
  }

  /** Function of a frame, as an index of `functions.places`. */
  functionOfFrame(frame: number): number {
    return this.#functions.ofFrame[frame]!
  }

  update(tables: Tables): void {
    for (; this.#frames < tables.frames.length; this.#frames++) {
      this.#functions.addFrame(tables.frames, this.#frames)
      this.#lines.addFrame(tables.frames, this.#frames)
    }
    for (; this.#stacks < tables.stackCount; this.#stacks++) {
      const stack = this.#stacks
      const parent = tables.parentOf(stack)
      if (parent !== this.#last) this.#moveTo(tables, parent)
      const frame = tables.leafOf(stack)
      this.#functions.enter(stack, frame)
      this.#lines.enter(stack, frame)
      this.#last = stack
    }
  }

  /** New stacks mostly continue the last one; otherwise the paths part at the higher of their common callers. */
  #moveTo(tables: Tables, target: number): void {
    const path: number[] = []
    let from = this.#last
    let to = target
    // A caller's index is below its callee's: the larger one cannot be on the other's path.
    while (from !== to) {
      if (from > to) {
        const frame = tables.leafOf(from)
        this.#functions.leave(frame)
        this.#lines.leave(frame)
        from = tables.parentOf(from)
      } else {
        path.push(tables.leafOf(to))
        to = tables.parentOf(to)
      }
    }
    for (const at of path) {
      this.#functions.walk(at)
      this.#lines.walk(at)
    }
  }
}
