/** Records a process for a while: `record()` and the steps the command line takes one by one. */
import type { StdioOptions } from 'node:child_process'
import { binding } from './binding.js'
import { AbortError, checkPid, fromNative, invalid, PyprofError } from './errors.js'
import { type Launched, launch } from './launch.js'
import { Profile } from './profile.js'
import type { RawRecorder, RawRecordOptions } from './raw.js'
import type { Mode, RecordingStats } from './types.js'

/** How to record. */
export interface SamplingOptions {
  /** Samples a second, above 0. Default: 1000. */
  rate?: number
  /** ms. Default: until the target ends or `signal` aborts. */
  duration?: number
  /** Which time counts. Default: `wall`. */
  mode?: Mode
  /** Keep samples of threads that wait in the kernel (sleep, I/O, locks). Default: false. */
  idle?: boolean
  /** Keep only threads of these names. Default: all. */
  threadNames?: readonly string[]
  /** Keep the order of the samples, which speedscope's time order needs. Default: true. */
  timeline?: boolean
  /**
   * ms to wait for an interpreter that is still starting. Default: 0 for a running process, 10,000 for a
   * launched program.
   */
  wait?: number
}

export interface RecordOptions extends SamplingOptions {
  /** The running process to record. Either this or `command`. */
  pid?: number
  /** The program to start and record. It outlives a recording that ends before it. */
  command?: string
  /** Arguments of `command`. */
  args?: readonly string[]
  /** Working directory of `command`. */
  cwd?: string
  /** Environment of `command`. Default: this process's. */
  env?: NodeJS.ProcessEnv
  /** Standard streams of `command`. Default: `inherit`. */
  stdio?: StdioOptions
  /** Ends the recording early; the promise rejects with an `AbortError`. A launched program gets SIGTERM. */
  signal?: AbortSignal
  /** Called about every `progressInterval` ms while recording. */
  onProgress?: (stats: RecordingStats) => void
  /** ms. Default: 250. */
  progressInterval?: number
}

/**
 * Records a process until `duration` is over, the process ends or `signal` aborts.
 *
 *     const profile = await record({ pid: 1234, duration: 10_000 })
 *     await writeFile('out.pb.gz', profile.to('pprof'))
 *
 * When a launched program cannot be recorded it gets SIGTERM before the promise rejects.
 *
 * @throws {PyprofError} when the process cannot be read; see `ERROR_CODES`
 * @throws {AbortError} when `signal` aborts
 */
export async function record(options: RecordOptions): Promise<Profile> {
  const { pid, command, signal } = options
  if ((pid === undefined) === (command === undefined)) throw invalid('give either pid or command')
  const raw = checkOptions(options, command !== undefined)
  if (signal?.aborted) throw new AbortError(signal.reason)
  if (pid !== undefined) return run(pid, raw, options, null)
  const launched = await launch(command!, options.args ?? [], {
    stdio: options.stdio ?? 'inherit',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  try {
    return await run(launched.pid, raw, options, launched)
  } catch (error) {
    launched.child.kill('SIGTERM')
    throw error
  }
}

async function run(
  pid: number,
  raw: RawRecordOptions,
  { signal, onProgress, progressInterval = 250 }: RecordOptions,
  launched: Launched | null,
): Promise<Profile> {
  const recording = await Recording.start(pid, raw, launched)
  const abort = () => recording.stop()
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) abort()
  const timer = onProgress && setInterval(() => onProgress(recording.stats()), progressInterval)
  try {
    const profile = await recording.finish()
    if (signal?.aborted) throw new AbortError(signal.reason)
    return profile
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/** A recording under way. */
export class Recording {
  readonly #recorder: RawRecorder
  readonly #options: RawRecordOptions
  readonly #pid: number
  readonly #launched: Launched | null

  private constructor(
    recorder: RawRecorder,
    pid: number,
    options: RawRecordOptions,
    launched: Launched | null,
  ) {
    this.#recorder = recorder
    this.#pid = pid
    this.#options = options
    this.#launched = launched
  }

  static async start(pid: number, options: RawRecordOptions, launched: Launched | null): Promise<Recording> {
    checkPid(pid)
    try {
      return new Recording(await binding().Recorder.start(pid, options), pid, options, launched)
    } catch (error) {
      throw gone(fromNative(error), launched)
    }
  }

  stats(): RecordingStats {
    return this.#recorder.stats()
  }

  stop(): void {
    this.#recorder.stop()
  }

  async finish(): Promise<Profile> {
    try {
      const raw = await this.#recorder.finish()
      // The sampler sees the end of a launched program before Node has collected its status.
      const exit = raw.end === 'exited' && this.#launched ? await this.#launched.exit : null
      return new Profile(raw, { pid: this.#pid, rate: this.#options.rate, mode: this.#options.mode, exit })
    } catch (error) {
      throw gone(fromNative(error), this.#launched)
    }
  }
}

/** A launched program that is over cannot be "no such process" to the one who started it. */
function gone(error: unknown, launched: Launched | null): unknown {
  if (!launched?.ended || !(error instanceof PyprofError)) return error
  if (!['ERR_PYPROF_NO_SUCH_PROCESS', 'ERR_PYPROF_NOT_READY', 'ERR_PYPROF_NOT_PYTHON'].includes(error.code)) {
    return error
  }
  return new PyprofError('ERR_PYPROF_PROCESS_EXITED', 'the program ended before it could be looked at', error)
}

/** @throws {PyprofError} `ERR_PYPROF_INVALID_ARGUMENT`, with the name of the option */
export function checkOptions(options: SamplingOptions, launched: boolean): RawRecordOptions {
  const { rate = 1000, duration, mode = 'wall', threadNames = [], wait = launched ? 10_000 : 0 } = options
  if (!(rate > 0) || rate > 1e6) throw invalid(`rate is a number above 0 and at most 1,000,000, not ${rate}`)
  if (duration !== undefined && !(duration > 0))
    throw invalid(`duration is a number of ms above 0, not ${duration}`)
  if (!(wait >= 0)) throw invalid(`wait is a number of ms, not ${wait}`)
  if (!['wall', 'cpu', 'gil'].includes(mode)) throw invalid(`mode is wall, cpu or gil, not ${mode}`)
  return {
    rate,
    mode,
    idle: options.idle ?? false,
    threadNames: [...threadNames],
    timeline: options.timeline ?? true,
    waitMs: wait,
    ...(duration === undefined || duration === Infinity ? {} : { durationMs: duration }),
  }
}
