/** What a session tells besides samples. Times are in ns since the session's start. */
import type { ProfiledProcess } from '../types.js'
import type { Sample } from './sample.js'
import type { SessionThread } from './tables.js'

/** Samples that were dropped because they were not read in time. */
export interface Gap {
  readonly type: 'gap'
  /** How many. */
  readonly lost: number
}

/** A process was found, replaced its program, or ended. */
export interface ProcessEvent {
  readonly type: 'process-start' | 'process-exec' | 'process-exit'
  readonly timeNs: number
  readonly process: ProfiledProcess
}

/** A thread got a Python state, or lost it. */
export interface ThreadEvent {
  readonly type: 'thread-start' | 'thread-end'
  readonly timeNs: number
  readonly thread: SessionThread
}

/** What a session yields, in order of time. */
export type SessionEvent = Sample | Gap | ProcessEvent | ThreadEvent
