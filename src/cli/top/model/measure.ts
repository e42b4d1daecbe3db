/** Which time of a sample counts. All are added up side by side, so that switching costs nothing and hides nothing. */
import { FLAG } from '../source.js'

/** `wall`: elapsed time of threads that run. `all`: of waiting ones too. `cpu`: CPU time. `gil`: elapsed with the GIL. */
export const MEASURES = ['wall', 'all', 'cpu', 'gil'] as const
export type Measure = (typeof MEASURES)[number]

export const COUNT = MEASURES.length

export function measureIndex(measure: Measure): number {
  return MEASURES.indexOf(measure)
}

/** Adds a sample to the sums that begin at `at`. */
export function addSample(
  sums: Float64Array,
  at: number,
  flags: number,
  wallNs: number,
  cpuNs: number,
): void {
  if (flags & FLAG.onCpu) sums[at]! += wallNs
  sums[at + 1]! += wallNs
  sums[at + 2]! += cpuNs
  if (flags & FLAG.holdsGil) sums[at + 3]! += wallNs
}
