/** Everything the views show, made of batches. Knows no terminal and no clock. */
import type { Batch, Tables } from '../source.js'
import { Activity, type ProcessActivity, type ThreadActivity } from './activity.js'
import { type Place, Places } from './places.js'
import { Tally } from './tally.js'

/** Counts only one thread or process. */
export type Scope = { thread: number } | { process: number }

/** After it nothing is what there was. */
const LONGEST_SILENCE_NS = 1e9

export class Model {
  readonly #windowNs: number
  readonly places = new Places()
  readonly #all: Tally
  readonly #activity = new Activity()
  #scoped: { scope: Scope; tally: Tally } | null = null
  #tables: Tables | null = null
  /** Time of the last sample of the last interval. */
  #closedNs = 0
  #latestNs = 0
  #paused = false
  #resumed = false
  /** Samples that nobody read in time. */
  lost = 0

  constructor(windowNs: number) {
    this.#windowNs = windowNs
    this.#all = new Tally(this.places, windowNs)
  }

  /** Of the scope when there is one, else of everything. */
  get tally(): Tally {
    return this.#scoped?.tally ?? this.#all
  }

  /** Whatever the scope is. */
  get everything(): Tally {
    return this.#all
  }

  get scope(): Scope | null {
    return this.#scoped?.scope ?? null
  }

  get tables(): Tables | null {
    return this.#tables
  }

  get paused(): boolean {
    return this.#paused
  }

  /** A scope has no past: it counts from here on. */
  set scope(scope: Scope | null) {
    this.#scoped = scope && { scope, tally: new Tally(this.places, this.#windowNs) }
  }

  add(batch: Batch): void {
    const { tables, samples } = batch
    this.#tables = tables
    this.lost += batch.lost
    this.#activity.add(batch)
    this.#all.add(samples)
    if (this.#scoped) this.#scoped.tally.add(samples, accepts(this.#scoped.scope, tables))
    if (samples.length > 0) this.#latestNs = Math.max(this.#latestNs, samples.timeNs[samples.length - 1]!)
  }

  /**
   * Ends the interval: what was added can be seen now. `elapsedNs`: time since the last one ended, for when there was no
   * sample to tell. False when it goes on: samples come a little late, so a short one can be without any.
   */
  close(elapsedNs: number): boolean {
    if (this.#paused) return false
    const measured = this.#latestNs - this.#closedNs
    if (measured <= 0 && elapsedNs < LONGEST_SILENCE_NS) return false
    if (!this.#tables) return true
    const durationNs = measured > 0 ? measured : elapsedNs
    this.#closedNs = Math.max(this.#latestNs, this.#closedNs + durationNs)
    this.#latestNs = this.#closedNs
    this.places.update(this.#tables)
    this.#all.close(this.#tables, durationNs, this.#resumed)
    this.#scoped?.tally.close(this.#tables, durationNs, this.#resumed)
    this.#activity.close(this.#all.functions.intervals)
    this.#resumed = false
    return true
  }

  /** What comes meanwhile is counted, but only seen afterwards. */
  pause(paused: boolean): void {
    if (this.#paused && !paused) this.#resumed = true
    this.#paused = paused
  }

  reset(): void {
    this.#all.clear()
    this.#scoped?.tally.clear()
    this.#activity.clear()
    this.lost = 0
  }

  threads(): ThreadActivity[] {
    return this.#tables ? this.#activity.threads(this.#tables) : []
  }

  processes(): ProcessActivity[] {
    return this.#tables ? this.#activity.processes(this.#tables) : []
  }

  /** Root first: the function and its current line. */
  framesOf(stack: number): Place[] {
    if (!this.#tables) return []
    const tables = this.#tables
    const result: Place[] = []
    for (let at = stack; at !== 0; at = tables.parentOf(at)) {
      const frame = tables.leafOf(at)
      const place = this.places.functions.places[this.places.functionOfFrame(frame)]!
      result.push({ ...place, line: tables.frames[frame]!.line ?? 0 })
    }
    return result.reverse()
  }
}

function accepts(scope: Scope, tables: Tables): (thread: number) => boolean {
  if ('thread' in scope) return (thread) => thread === scope.thread
  return (thread) => tables.threads.get(thread)?.process.id === scope.process
}
