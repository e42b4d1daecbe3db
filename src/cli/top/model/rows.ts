/** Which functions or lines to list, and in which order. */
import type { Measure } from './measure.js'
import { COUNT, measureIndex } from './measure.js'
import type { Grouping, Place } from './places.js'
import type { Rolling } from './sums.js'
import { TOTAL } from './tally.js'

export interface PlaceRow {
  id: number
  place: Place
  /** ns within the last seconds and since the start. */
  selfNow: number
  totalNow: number
  self: number
  total: number
}

export const PLACE_SORTS = ['self now', 'total now', 'self', 'total', 'name'] as const
export type PlaceSort = (typeof PLACE_SORTS)[number]

const ORDERS: Record<PlaceSort, (a: PlaceRow, b: PlaceRow) => number> = {
  // Equal now, for example both at rest: what was hot before stays in its order.
  'self now': (a, b) => b.selfNow - a.selfNow || b.totalNow - a.totalNow || b.self - a.self,
  'total now': (a, b) => b.totalNow - a.totalNow || b.selfNow - a.selfNow || b.total - a.total,
  self: (a, b) => b.self - a.self || b.total - a.total,
  total: (a, b) => b.total - a.total || b.self - a.self,
  name: (a, b) => compare(a.place.name, b.place.name) || compare(a.place.file, b.place.file),
}

export interface Choice {
  measure: Measure
  sort: PlaceSort
  accepts: (place: Place) => boolean
}

export function placeRows(
  grouping: Grouping,
  { now, overall, length }: Rolling,
  { measure, sort, accepts }: Choice,
): PlaceRow[] {
  const self = measureIndex(measure)
  const total = TOTAL + self
  const rows: PlaceRow[] = []
  const count = Math.min(length, grouping.places.length)
  for (let id = 0; id < count; id++) {
    const at = id * 2 * COUNT
    // Whoever has no time of this measure was not there, as far as it is concerned.
    if (overall[at + total] === 0) continue
    const place = grouping.places[id]!
    if (!accepts(place)) continue
    rows.push({
      id,
      place,
      selfNow: now[at + self] ?? 0,
      totalNow: now[at + total] ?? 0,
      self: overall[at + self]!,
      total: overall[at + total]!,
    })
  }
  const order = ORDERS[sort]
  return rows.sort((a, b) => order(a, b) || a.id - b.id)
}

/** By code point, so that it is the same everywhere. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
