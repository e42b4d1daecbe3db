/** What came at once, packed: for those who want speed. */
import type { RawBatch } from '../raw.js'
import type { ProcessEvent, ThreadEvent } from './events.js'
import type { Tables } from './tables.js'

/** Columns of the same length; times in ns since the session's start. */
export interface SampleColumns {
  readonly length: number
  readonly timeNs: Float64Array
  /** `SessionThread.id` */
  readonly thread: Uint32Array
  /** See {@link Tables.framesOf}. */
  readonly stack: Uint32Array
  /** Elapsed time that the sample stands for. */
  readonly wallNs: Float64Array
  /** CPU time of the thread in it. */
  readonly cpuNs: Float64Array
  /**
   * {@link ON_CPU}, {@link HOLDS_GIL}, {@link CUT}, {@link WAITS_FOR_GIL}, {@link IN_GC}, {@link HANDLES_EXCEPTION},
   * {@link BLOCKED}, {@link WAITS_FOR_CPU} and {@link GOES_ON}, added up.
   */
  readonly flags: Uint32Array
  /** The system call that the thread was blocked in: its name is `tables.strings[syscall - 1]`. 0 for none. */
  readonly syscall: Uint32Array
}

/** The thread was on a CPU, or waited for one. */
export const ON_CPU = 1
/** The thread held a GIL. */
export const HOLDS_GIL = 2
/** The stack was cut: its leaf is of kind `missing`. */
export const CUT = 4
/** The thread was blocked in the lock of its GIL. */
export const WAITS_FOR_GIL = 8
/** The thread held the GIL while its interpreter collected garbage. Not known on 3.8. */
export const IN_GC = 16
/** The thread was in an `except` or `finally` block of an exception. Known from CPython 3.11 on. */
export const HANDLES_EXCEPTION = 32
/** With `offcpu`: the thread was blocked for exactly `wallNs`. */
export const BLOCKED = 64
/** With `offcpu`: the thread could have run but had no CPU, for exactly `wallNs`. */
export const WAITS_FOR_CPU = 128
/** With `offcpu`: the wait of the thread's sample before goes on. */
export const GOES_ON = 256

/** A process or thread event, and its place among the batch's samples. */
export type BatchEvent = (ProcessEvent | ThreadEvent) & {
  /** How many of the batch's samples came before it. */
  readonly before: number
}

/** What came since the last batch. */
export interface Batch {
  /** The session's own: the same object in every batch. */
  readonly tables: Tables
  readonly samples: SampleColumns
  readonly events: readonly BatchEvent[]
  /** Samples that were dropped before these because they were not read in time. */
  readonly lost: number
}

const PROCESS_EVENTS = ['process-start', 'process-exec', 'process-exit'] as const
const THREAD_END = 4

/** Takes the new rows of the tables and names what happened. */
export function unpack(raw: RawBatch, tables: Tables): Batch {
  tables.add(raw)
  const { events } = raw
  return {
    tables,
    samples: { length: raw.samples.thread.length, ...raw.samples },
    events: Array.from(events.kind, (kind, i): BatchEvent => {
      const at = { timeNs: events.timeNs[i]!, before: events.before[i]! }
      const id = events.id[i]!
      const type = PROCESS_EVENTS[kind]
      if (type === undefined) {
        const thread = tables.threads.get(id)!
        if (kind === THREAD_END) tables.threadEnded(id)
        return { type: kind === 3 ? 'thread-start' : 'thread-end', ...at, thread }
      }
      if (type === 'process-exit') tables.processEnded(id)
      return { type, ...at, process: tables.processes.get(id)! }
    }),
    lost: raw.lost,
  }
}
