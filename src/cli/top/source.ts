/** What the live view needs of a session: little enough that a test can stand in for it. */
import type { Profile } from '../../profile.js'
import type { EndReason } from '../../types.js'
import type { Plan } from './plan.js'

export type Kind = 'python' | 'missing' | 'native' | 'kernel'

export interface Frame {
  readonly kind: Kind
  readonly name: string
  readonly file: string
  /** What holds a native one. */
  readonly module?: string
  /** `null` when unknown, as `line`. */
  readonly firstLine: number | null
  readonly line: number | null
}

export interface Process {
  readonly id: number
  readonly pid: number
  /** 0 when unknown. */
  readonly ppid: number
  /** `null` while it is not known to be Python. */
  readonly pythonVersion: string | null
  readonly command: readonly string[]
}

export interface Thread {
  readonly id: number
  readonly process: Process
  readonly pid: number
  /** Kernel thread id, 0 when unknown; equal to `pid` for the main thread. */
  readonly tid: number
  readonly name: string
}

/** Grows while the session runs. */
export interface Tables {
  readonly frames: readonly Frame[]
  /** Stack 0 has no frame and is counted; a parent's index is below its child's. */
  readonly stackCount: number
  parentOf(stack: number): number
  /** Frame of a stack other than 0. */
  leafOf(stack: number): number
  readonly threads: ReadonlyMap<number, Thread>
  readonly processes: ReadonlyMap<number, Process>
}

/** Of `Samples.flags`. */
export const FLAG = { onCpu: 1, holdsGil: 2, cut: 4 } as const

/** Columns of the same length, in order of time. Times in ns, `timeNs` since the session's start. */
export interface Samples {
  readonly length: number
  readonly timeNs: ArrayLike<number>
  readonly thread: ArrayLike<number>
  readonly stack: ArrayLike<number>
  readonly wallNs: ArrayLike<number>
  readonly cpuNs: ArrayLike<number>
  readonly flags: ArrayLike<number>
}

export type Event =
  | { readonly type: 'process-start' | 'process-exec' | 'process-exit'; readonly process: Process }
  | { readonly type: 'thread-start' | 'thread-end'; readonly thread: Thread }

export interface Batch {
  readonly tables: Tables
  readonly samples: Samples
  readonly events: readonly Event[]
  /** Samples dropped before these because nobody read in time. */
  readonly lost: number
}

/** The sampler's own health. */
export interface Health {
  elapsedNs: number
  rounds: number
  missed: number
  failed: number
  samples: number
  cut: number
  cpuNs: number
  /** Where the stacks come from: an `EngineName`. */
  engine: string
  /** Blocked time is measured from switch to switch. */
  offcpu: boolean
}

/** A `Session`, or a stand-in. */
export interface Source {
  batches(): AsyncIterable<Batch>
  readonly stats: Health
  /** Everything so far. */
  profile(): Promise<Profile>
  /** Set once nothing will come any more. */
  readonly ended: EndReason | null
  close(): Promise<void>
}

/** Where it comes from and how it is left; `Target`, or a stand-in. */
export interface Startable {
  readonly pid: number
  open(plan: Plan, signal: AbortSignal): Promise<Source>
  leave(exited: boolean): Promise<number>
}
