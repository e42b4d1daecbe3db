/** The sampler's health lately: counters as they are would hide a sudden change behind hours without one. */
import type { Health } from '../source.js'

export interface Pace {
  /** Looks a second. */
  rate: number
  /** Shares, 0 to 1: of the samples, of the looks, of the time. */
  cut: number
  failed: number
  ownCpu: number
  /** Where the stacks come from; empty before it is known. */
  engine: string
  /** Blocked time is measured from switch to switch. */
  offcpu: boolean
}

type Counter = Exclude<keyof Health, 'engine' | 'offcpu'>

export class PaceMeter {
  readonly #windowNs: number
  readonly #seen: Health[] = []

  constructor(windowNs: number) {
    this.#windowNs = windowNs
  }

  add(health: Health): void {
    this.#seen.push({ ...health })
    while (this.#seen.length > 2 && health.elapsedNs - this.#seen[1]!.elapsedNs >= this.#windowNs) {
      this.#seen.shift()
    }
  }

  pace(): Pace {
    const last = this.#seen.at(-1)
    if (!last) return { rate: 0, cut: 0, failed: 0, ownCpu: 0, engine: '', offcpu: false }
    const first = this.#seen.length > 1 ? this.#seen[0] : undefined
    const since = (field: Counter) => last[field] - (first?.[field] ?? 0)
    const share = (part: Counter, whole: Counter) => (since(whole) > 0 ? since(part) / since(whole) : 0)
    return {
      rate: share('rounds', 'elapsedNs') * 1e9,
      cut: share('cut', 'samples'),
      failed: share('failed', 'rounds'),
      ownCpu: share('cpuNs', 'elapsedNs'),
      engine: last.engine,
      offcpu: last.offcpu,
    }
  }
}

/** The engine, in a few words. */
export function engineText({ engine, offcpu }: Pick<Pace, 'engine' | 'offcpu'>): string {
  return offcpu ? `${engine}, off-CPU` : engine
}
