/**
 * Sampling profiler for running CPython processes.
 *
 * @packageDocumentation
 */
export { AbortError, ERROR_CODES, type ErrorCode, PyprofError } from './errors.js'
export type { Format, FormatOptions, Formats } from './formats/index.js'
export type { HotFunction } from './hottest.js'
export { processes } from './processes.js'
export type { Profile } from './profile.js'
export { type RecordOptions, record, type SamplingOptions } from './record.js'
export { type SnapshotOptions, snapshot } from './snapshot.js'
export type * from './types.js'
