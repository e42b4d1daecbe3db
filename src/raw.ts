/**
 * What the native addon takes and gives, by hand: crates/pyprof-node/native.d.ts is generated from the Rust
 * source, and __test__/types/raw.ts proves that the two agree.
 */
import type { EndReason, Mode, ProfiledThread, RecordingStats } from './types.js'

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
}

/** Lines and columns are 0 when unknown; columns are UTF-8 bytes plus 1. */
export interface RawFrameSnapshot {
  kind: number
  name: string
  qualifiedName: string
  file: string
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

/** A finished recording as packed columns; strings, frames, stacks and threads are named by their index. */
export interface RawProfile {
  strings: string[]
  frames: {
    kind: Uint32Array
    name: Uint32Array
    file: Uint32Array
    firstLine: Uint32Array
    line: Uint32Array
    endLine: Uint32Array
    column: Uint32Array
    endColumn: Uint32Array
  }
  /** Stack 0 has no frame; a parent's index is below its child's. */
  stacks: { parent: Uint32Array; frame: Uint32Array }
  threads: ProfiledThread[]
  entries: RawEntries
  timeline: RawEntries & { timeNs: Float64Array }
  timelineComplete: boolean
  stats: RecordingStats
  end: EndReason
  startedMs: number
  pythonVersion: string
}

export interface RawRecordOptions {
  rate: number
  durationMs?: number
  mode: Mode
  idle: boolean
  threadNames: string[]
  timeline: boolean
  waitMs: number
}

export interface RawRecorder {
  stats(): RecordingStats
  stop(): void
  finish(): Promise<RawProfile>
}

export interface Binding {
  processes(): Promise<RawProcess[]>
  snapshot(pid: number, locals: boolean): Promise<RawSnapshot>
  Recorder: { start(pid: number, options: RawRecordOptions): Promise<RawRecorder> }
}
