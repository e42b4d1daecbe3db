/** How to sample: what `attach()`, `spawn()` and `record()` take. */
import type { StdioOptions } from 'node:child_process'
import { ENGINES } from '../engines.js'
import { invalid } from '../errors.js'
import type { RawSessionOptions } from '../raw.js'
import type { EngineName, Mode } from '../types.js'

export interface SamplingOptions {
  /** Samples a second, above 0. Default: 1000. */
  rate?: number
  /**
   * How far a sample may be moved from its place in time by chance, as a share of the time between samples, 0 to 1:
   * for programs with a period of their own, which would always be seen at the same point. Default: 0.
   */
  jitter?: number
  /** ms. Default: until the target ends or `signal` aborts. */
  duration?: number
  /** Which time counts. Default: `wall`. */
  mode?: Mode
  /** Keep samples of threads that wait in the kernel (sleep, I/O, locks). Default: false. */
  idle?: boolean
  /** Keep only threads of these names. Default: all. */
  threadNames?: readonly string[]
  /**
   * Follow children from fork, exec and spawn, and theirs. The process itself need not be Python then, and the session
   * ends with the last of them. Default: false.
   */
  subprocesses?: boolean
  /**
   * Keep the order of the samples in the profile, which speedscope's time order needs. Default: true for `record()`,
   * false for `attach()` and `spawn()`.
   */
  timeline?: boolean
  /** Show native frames, and threads that run no Python. Default: false. */
  native?: boolean
  /** Show kernel frames. Default: false. */
  kernel?: boolean
  /**
   * Measure blocked time from switch to switch instead of estimating it by looks: every wait is one sample of exactly
   * its length, with the stack that the thread blocked in. Needs the exact engine; threads that wait are kept.
   * Default: false.
   */
  offcpu?: boolean
  /**
   * Take stacks this way or not at all: `exact`, `perf` or `snapshot`. Default: with `native` or `kernel` the best that
   * this process may use, which `stats.engine` tells; otherwise `snapshot`.
   */
  engine?: Exclude<EngineName, 'perf-user'>
  /**
   * ms to wait for an interpreter that is still starting. Default: 0 for a running process, 10,000 for a
   * launched program.
   */
  wait?: number
}

/** What a launched program gets. */
export interface ProgramOptions {
  /** Working directory. */
  cwd?: string
  /** Environment. Default: this process's. */
  env?: NodeJS.ProcessEnv
  /** Standard streams. Default: `inherit`. */
  stdio?: StdioOptions
}

export interface SessionOptions extends SamplingOptions {
  /**
   * Samples and events kept for a reader who is late, about 64 bytes each; what is older is dropped and shows as a
   * gap. 0: nothing is kept, for a session that is only asked for profiles. Default: 65,536.
   */
  bufferSize?: number
  /** Ends the session: reading it then throws an `AbortError`. */
  signal?: AbortSignal
}

export interface SpawnOptions extends SessionOptions, ProgramOptions {}

const BUFFER_SIZE = 65_536
const MAX_BUFFER_SIZE = 0x1000_0000

/** @throws {PyprofError} `ERR_PYPROF_INVALID_ARGUMENT`, with the name of the option */
export function checkOptions(
  options: SessionOptions,
  { launched, stream }: { launched: boolean; stream: boolean },
): RawSessionOptions {
  const { rate = 1000, duration, mode = 'wall', threadNames = [], wait = launched ? 10_000 : 0 } = options
  const {
    jitter = 0,
    bufferSize = BUFFER_SIZE,
    native = false,
    kernel = false,
    offcpu = false,
    engine,
  } = options
  if (!(rate > 0) || rate > 1e6) throw invalid(`rate is a number above 0 and at most 1,000,000, not ${rate}`)
  if (!(jitter >= 0 && jitter <= 1)) throw invalid(`jitter is a number from 0 to 1, not ${jitter}`)
  if (duration !== undefined && !(duration > 0))
    throw invalid(`duration is a number of ms above 0, not ${duration}`)
  if (!(wait >= 0)) throw invalid(`wait is a number of ms, not ${wait}`)
  if (!['wall', 'cpu', 'gil'].includes(mode)) throw invalid(`mode is wall, cpu or gil, not ${mode}`)
  if (engine !== undefined && !ENGINES.includes(engine))
    throw invalid(`engine is ${ENGINES.join(', ')}, not ${engine}`)
  if (offcpu && engine !== undefined && engine !== 'exact')
    throw invalid(`offcpu needs the engine exact, not ${engine}`)
  if (offcpu && mode === 'cpu')
    throw invalid('offcpu measures time off the CPU: mode is wall or gil, not cpu')
  if (!Number.isInteger(bufferSize) || bufferSize < 0 || bufferSize > MAX_BUFFER_SIZE)
    throw invalid(`bufferSize is a whole number from 0 to ${MAX_BUFFER_SIZE}, not ${bufferSize}`)
  return {
    rate,
    jitter,
    mode,
    idle: options.idle ?? false,
    threadNames: [...threadNames],
    timeline: options.timeline ?? !stream,
    waitMs: wait,
    subprocesses: options.subprocesses ?? false,
    native,
    kernel,
    offcpu,
    ...(engine === undefined ? {} : { engine }),
    ...(duration === undefined || duration === Infinity ? {} : { durationMs: duration }),
    ...(stream && bufferSize > 0 ? { stream: bufferSize } : {}),
  }
}
