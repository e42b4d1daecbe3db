/** What an encoder is told besides the recording itself. */
import type { Mode } from '../types.js'

export interface FormatOptions {
  /** Keep threads apart. pprof always does, by labels. Default: false. */
  threads?: boolean
  /**
   * Tell apart the lines of a function: a frame shows the line it was at instead of its function's first.
   * pprof always knows both. Default: false.
   */
  lines?: boolean
}

/** What the encoders read of a {@link Profile}. */
export interface Described {
  readonly pid: number
  readonly pythonVersion: string
  readonly rate: number
  readonly mode: Mode
  readonly started: Date
  /** Children were followed: processes are kept apart. */
  readonly subprocesses: boolean
}
