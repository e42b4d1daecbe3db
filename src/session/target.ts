/** Starts sampling a process: a running one, or a program that is started for it. */
import { binding } from '../binding.js'
import { AbortError, checkPid, native, PyprofError } from '../errors.js'
import { type Launched, launch } from '../launch.js'
import type { RawSessionOptions } from '../raw.js'
import { checkOptions, type SessionOptions, type SpawnOptions } from './options.js'
import { Session, Wake } from './session.js'

/**
 * Attaches to a running process and samples it, without stopping it.
 *
 *     const session = await attach(1234, { rate: 1000, subprocesses: true })
 *     for await (const event of session) {
 *       if (event.type === 'sample') console.log(event.thread.name, event.leaf?.name)
 *     }
 *
 * @throws {PyprofError} when the process cannot be read; see `ERROR_CODES`
 * @throws {AbortError} when `signal` aborts
 */
export async function attach(pid: number, options: SessionOptions = {}): Promise<Session> {
  const raw = checkOptions(options, { launched: false, stream: true })
  return open(pid, raw, null, options.signal)
}

/**
 * Starts a program and samples it from its start. The program outlives the session; when it cannot be sampled, or
 * `signal` aborts, it gets SIGTERM.
 *
 * @throws {PyprofError} `ERR_PYPROF_LAUNCH` when it cannot be started; see `ERROR_CODES`
 * @throws {AbortError} when `signal` aborts
 */
export async function spawn(
  command: string,
  args: readonly string[] = [],
  options: SpawnOptions = {},
): Promise<Session> {
  const raw = checkOptions(options, { launched: true, stream: true })
  return openProgram(command, args, raw, options)
}

/** {@link spawn} with options that were checked. */
export async function openProgram(
  command: string,
  args: readonly string[],
  raw: RawSessionOptions,
  { cwd, env, stdio = 'inherit', signal }: SpawnOptions,
): Promise<Session> {
  if (signal?.aborted) throw new AbortError(signal.reason)
  const launched = await launch(command, args, {
    stdio,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  })
  const terminate = () => launched.child.kill('SIGTERM')
  signal?.addEventListener('abort', terminate, { once: true })
  void launched.exit.then(() => signal?.removeEventListener('abort', terminate))
  try {
    return await open(launched.pid, raw, launched, signal)
  } catch (error) {
    terminate()
    throw error
  }
}

/** {@link attach} with options that were checked; `launched` when the process is a program of ours. */
export async function open(
  pid: number,
  options: RawSessionOptions,
  launched: Launched | null,
  signal?: AbortSignal,
): Promise<Session> {
  checkPid(pid)
  if (signal?.aborted) throw new AbortError(signal.reason)
  const wake = new Wake()
  try {
    const { Session: Raw } = binding()
    const raw = await native(
      options.stream === undefined ? Raw.start(pid, options) : Raw.start(pid, options, wake.call),
    )
    const session = new Session(raw, { pid, options, launched, signal }, wake)
    if (signal?.aborted) await session.closed
    return session
  } catch (error) {
    throw gone(error, launched)
  }
}

/** A launched program that is over cannot be "no such process" to the one who started it. */
export function gone(error: unknown, launched: Launched | null): unknown {
  if (!launched?.ended || !(error instanceof PyprofError)) return error
  if (!['ERR_PYPROF_NO_SUCH_PROCESS', 'ERR_PYPROF_NOT_READY', 'ERR_PYPROF_NOT_PYTHON'].includes(error.code)) {
    return error
  }
  return new PyprofError('ERR_PYPROF_PROCESS_EXITED', 'the program ended before it could be looked at', error)
}
