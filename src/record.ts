/** Records a process for a while: a session of which only the profile is wanted. */
import { AbortError, invalid } from './errors.js'
import type { Profile } from './profile.js'
import { checkOptions, type ProgramOptions, type SamplingOptions } from './session/options.js'
import type { Session } from './session/session.js'
import { open, openProgram } from './session/target.js'
import type { RecordingStats } from './types.js'

export interface RecordOptions extends SamplingOptions, ProgramOptions {
  /** The running process to record. Either this or `command`. */
  pid?: number
  /** The program to start and record. It outlives a recording that ends before it. */
  command?: string
  /** Arguments of `command`. */
  args?: readonly string[]
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
  const { pid, command, args = [], signal } = options
  if ((pid === undefined) === (command === undefined)) throw invalid('give either pid or command')
  const raw = checkOptions(options, { launched: command !== undefined, stream: false })
  if (signal?.aborted) throw new AbortError(signal.reason)
  const session =
    pid === undefined ? await openProgram(command!, args, raw, options) : await open(pid, raw, null, signal)
  return watch(session, options)
}

async function watch(
  session: Session,
  { onProgress, progressInterval = 250 }: RecordOptions,
): Promise<Profile> {
  const timer = onProgress && setInterval(() => onProgress(session.stats), progressInterval)
  try {
    await session.closed
    return await session.profile()
  } catch (error) {
    session.child?.kill('SIGTERM')
    throw error
  } finally {
    clearInterval(timer)
  }
}
