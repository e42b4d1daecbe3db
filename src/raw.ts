/**
 * What the native addon takes and gives, by hand: crates/pyprof-node/native.d.ts is generated from the Rust
 * source, and __test__/types/raw.ts proves that the two agree.
 */
import type { EndReason, Mode, RecordingStats } from './types.js'

export interface RawProcess {
  pid: number
  pythonVersion?: string | null
  uid: number
  user: string
  threads: number
  cpuNs: number
  uptimeNs: number
  executable: string
  command: string[]
  obstacle?: { code: string; message: string } | null
}

export interface RawSnapshot {
  pid: number
  pythonVersion: string
  executable: string
  command: string[]
  threads: RawThreadSnapshot[]
}

export interface RawThreadSnapshot {
  interpreter: number
  name: string
  pythonId: number
  tid: number
  isMain: boolean
  onCpu: boolean
  holdsGil?: boolean | null
  complete: boolean
  frames: RawFrameSnapshot[]
  native?: RawNativeLook | null
}

export interface RawNativeLook {
  complete: boolean
  note: string
  hasPython: boolean
  waitsIn?: { number?: number | null; call: string; arguments: string[]; channel: string } | null
}

export interface RawSnapshotOptions {
  locals: boolean
  native: boolean
  kernel: boolean
}

/** Lines and columns are 0 when unknown; columns are UTF-8 bytes plus 1. */
export interface RawFrameSnapshot {
  kind: number
  name: string
  qualifiedName: string
  file: string
  module: string
  firstLine: number
  line: number
  endLine: number
  column: number
  endColumn: number
  isAsync: boolean
  locals?: { name: string; isArgument: boolean; value: string }[] | null
}

/** Sums of one kind of event, as columns of the same length. */
export interface RawEntries {
  thread: Uint32Array
  stack: Uint32Array
  samples: Float64Array
  wallNs: Float64Array
  cpuNs: Float64Array
}

export interface RawSums extends RawEntries {
  /** Part of `wallNs` in which the thread neither ran nor waited for a CPU. */
  blockedNs: Float64Array
  /** Times that it was blocked; zero where that is not measured. */
  waits: Float64Array
}

export interface RawFrames {
  kind: Uint32Array
  name: Uint32Array
  file: Uint32Array
  /** The binary of a native frame, the kernel module of a kernel frame; else the empty string. */
  module: Uint32Array
  firstLine: Uint32Array
  line: Uint32Array
  endLine: Uint32Array
  column: Uint32Array
  endColumn: Uint32Array
}

/** Stack 0 has no frame; a parent's index is below its child's. */
export interface RawStacks {
  parent: Uint32Array
  frame: Uint32Array
}

export interface RawProcessSeen {
  id: number
  pid: number
  ppid: number
  pythonVersion?: string | null
  command: string[]
  ended: boolean
}

export interface RawThread {
  id: number
  /** In a profile the index of its process, in a batch the process's id. */
  process: number
  pid: number
  tid: number
  pythonId: number
  name: string
  gilHeldNs: number
  gilWaitedNs: number
}

/** What was collected, as packed columns; strings, frames, stacks, processes and threads are named by their index. */
export interface RawProfile {
  strings: string[]
  frames: RawFrames
  stacks: RawStacks
  processes: RawProcessSeen[]
  threads: RawThread[]
  entries: RawSums
  timeline: RawEntries & { timeNs: Float64Array }
  timelineComplete: boolean
  stats: RawStats
  /** Absent: the session goes on. */
  end?: EndReason | null
  startedMs: number
  pythonVersion: string
  engineAdvice?: string | null
}

/** What a session's stream brings. Tables hold what is new: their rows go on where those of the last batch ended. */
export interface RawBatch {
  strings: string[]
  frames: RawFrames
  stacks: RawStacks
  threads: RawThread[]
  processes: RawProcessSeen[]
  samples: {
    timeNs: Float64Array
    thread: Uint32Array
    stack: Uint32Array
    wallNs: Float64Array
    cpuNs: Float64Array
    flags: Uint32Array
    syscall: Uint32Array
  }
  events: { kind: Uint32Array; before: Uint32Array; timeNs: Float64Array; id: Uint32Array }
  lost: number
  ended?: EndReason | null
}

export interface RawSessionOptions {
  rate: number
  /** Share of the period, 0 to 1. */
  jitter: number
  durationMs?: number
  mode: Mode
  idle: boolean
  threadNames: string[]
  timeline: boolean
  waitMs: number
  subprocesses: boolean
  /** Samples and events that are kept for `drain()`. */
  stream?: number
  native: boolean
  kernel: boolean
  offcpu: boolean
  engine?: string
}

/** The engine is a word that the addon chooses from those of `EngineName`. */
export type RawStats = Omit<RecordingStats, 'engine'> & { engine: string }

/** A moment of a session. */
export interface RawMark {
  readonly mark?: never
}

export interface RawSession {
  stats(): RawStats
  stop(): void
  drain(): RawBatch
  /** Once only, and always. */
  ended(): Promise<{ reason: EndReason; stats: RawStats }>
  profile(mark?: RawMark): Promise<RawProfile>
  mark(): Promise<RawMark>
}

export interface RawRemedy {
  means: string
  text: string
}

export interface RawReport {
  checks: { id: string; value: string; good?: boolean | null; remedies: RawRemedy[] }[]
  engines: { engine: string; gives: string; missing: string[]; remedies: RawRemedy[] }[]
  engine?: string | null
  target?: RawTarget | null
}

export interface RawTarget {
  pid: number
  user?: string | null
  executable?: string | null
  command: string[]
  python?: { version: string; file: string; foundBy: string; freeThreaded: boolean; threads: number } | null
  engine?: string | null
  obstacle?: { code: string; message: string } | null
  remedies: RawRemedy[]
  hasBlockedStacks: boolean
  hasKernelStacks: boolean
  notes: { id: string; text: string }[]
}

export interface Binding {
  doctor(pid?: number): Promise<RawReport>
  processes(): Promise<RawProcess[]>
  processTree(pid: number): Promise<{ pid: number; ppid: number; command: string[] }[]>
  snapshot(pid: number, options: RawSnapshotOptions): Promise<RawSnapshot>
  Session: {
    start(pid: number, options: RawSessionOptions, wake?: () => void): Promise<RawSession>
  }
}
