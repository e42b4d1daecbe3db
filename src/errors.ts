/** Errors that say what to do, each with a stable code. */

/** Every code a {@link PyprofError} can have, and what it means. */
export const ERROR_CODES = {
  ERR_PYPROF_NO_SUCH_PROCESS: 'no process has this pid',
  ERR_PYPROF_NOT_PYTHON: 'the process holds no CPython interpreter',
  ERR_PYPROF_NOT_READY: 'the interpreter is still starting, or already shutting down',
  ERR_PYPROF_UNSUPPORTED_VERSION: 'a CPython version this build does not know',
  ERR_PYPROF_PERMISSION: 'the kernel forbids reading the process',
  ERR_PYPROF_PROCESS_EXITED: 'the process ended before it could be looked at',
  ERR_PYPROF_UNREADABLE: 'the memory of the process makes no sense as CPython state',
  ERR_PYPROF_ENGINE: 'the engine asked for cannot be used here',
  ERR_PYPROF_INVALID_ARGUMENT: 'an argument is outside its range',
  ERR_PYPROF_SYSTEM: 'a system call that should have worked did not',
  ERR_PYPROF_INTERNAL: 'a bug in pyprof-rs',
  ERR_PYPROF_NATIVE_MISSING: 'the native addon is missing or cannot be loaded',
  ERR_PYPROF_LAUNCH: 'the program to record could not be started',
  ERR_PYPROF_OUTPUT: 'the result cannot be written',
} as const

/** A code of a {@link PyprofError}. */
export type ErrorCode = keyof typeof ERROR_CODES

/** What this package throws and rejects with. Its message says what to do next. */
export class PyprofError extends Error {
  override readonly name = 'PyprofError'
  /** Stable, for programs. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/**
 * What an aborted call rejects with: `name` is `AbortError`, `code` is `ABORT_ERR`, `cause` the reason given to
 * `AbortController.abort()`.
 */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'

  constructor(cause: unknown) {
    super('The operation was aborted', { cause })
  }
}

/** Gives errors of the addon their class; everything else stays what it is. */
function fromNative(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = (error as NodeJS.ErrnoException).code
  return isErrorCode(code) ? new PyprofError(code, error.message, error) : error
}

/** What a call of the addon brings, its error with its class. */
export async function native<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw fromNative(error)
  }
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERROR_CODES, code)
}

/** Rejects arguments before they reach the addon, with the name of the option in the message. */
export function invalid(message: string): PyprofError {
  return new PyprofError('ERR_PYPROF_INVALID_ARGUMENT', message)
}

/** @throws {PyprofError} unless `pid` can be a process id */
export function checkPid(pid: unknown): asserts pid is number {
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid < 1 || pid > 0x7fff_ffff) {
    throw invalid(`a pid is a positive whole number, not ${String(pid)}`)
  }
}
