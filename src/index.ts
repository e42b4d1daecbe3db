/**
 * Sampling profiler for running CPython processes.
 *
 * @packageDocumentation
 */
export {
  type Check,
  type Diagnosis,
  doctor,
  type EngineCheck,
  type Means,
  type Remedy,
  type TargetCheck,
} from './doctor.js'
export { AbortError, ERROR_CODES, type ErrorCode, PyprofError } from './errors.js'
export type { Format, FormatOptions, Formats } from './formats/index.js'
export type { HotFunction } from './hottest.js'
export { processes } from './processes.js'
export type { Profile } from './profile.js'
export { type RecordOptions, record } from './record.js'
export {
  type Batch,
  type BatchEvent,
  BLOCKED,
  CUT,
  GOES_ON,
  HANDLES_EXCEPTION,
  HOLDS_GIL,
  IN_GC,
  ON_CPU,
  type SampleColumns,
  WAITS_FOR_CPU,
  WAITS_FOR_GIL,
} from './session/batch.js'
export type { Gap, ProcessEvent, SessionEvent, ThreadEvent } from './session/events.js'
export type { ProgramOptions, SamplingOptions, SessionOptions, SpawnOptions } from './session/options.js'
export type { Sample } from './session/sample.js'
export type { Session } from './session/session.js'
export type { SessionThread, Tables } from './session/tables.js'
export { attach, spawn } from './session/target.js'
export { type SnapshotOptions, snapshot } from './snapshot.js'
export type { GilUse, HotLine, HotStack, HotThread, ProfileSummary, SummaryLimits } from './summary.js'
export { snapshotTree } from './tree.js'
export type * from './types.js'
