/** What every view is drawn from. */
import type { Line } from '../../terminal/paint.js'
import type { Model } from '../model/model.js'
import type { Pace } from '../model/pace.js'
import type { State } from '../state.js'

export interface Size {
  columns: number
  rows: number
}

/** The process that was asked for. */
export interface Target {
  /** `null` while a program is being started. */
  pid: number | null
  /** Empty while it is unknown. */
  command: string
  pythonVersion: string | null
}

export interface Scene {
  model: Model
  state: State
  target: Target
  pace: Pace
  /** Samples a second that were asked for. */
  rate: number
  windowNs: number
  /** Why nothing more will come; `null` while it does. */
  ended: string | null
  /** What the program started here wrote last. */
  output: readonly string[]
}

/** Draws the part between the tabs and the last line. */
export type View = (scene: Scene, size: Size) => Line[]

/** The part of a list that is shown: around the chosen row, without running over an end. */
export function slice<Row>(
  rows: readonly Row[],
  chosen: number,
  height: number,
): { rows: Row[]; chosen: number } {
  const first = Math.max(0, Math.min(chosen - Math.floor(height / 2), rows.length - height))
  return { rows: rows.slice(first, first + Math.max(0, height)), chosen: chosen < 0 ? -1 : chosen - first }
}
