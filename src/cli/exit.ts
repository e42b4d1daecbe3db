/** Exit statuses: one table for the code, `--help` and the tests. */
import { constants } from 'node:os'
import { type ErrorCode, PyprofError } from '../errors.js'
import type { ProgramExit } from '../types.js'

interface Status {
  status: number
  meaning: string
  codes: readonly ErrorCode[]
}

/** Every status this program gives itself. A launched program's own status comes before 1 and above. */
export const STATUSES: readonly Status[] = [
  { status: 0, meaning: 'success', codes: [] },
  { status: 1, meaning: 'unexpected error', codes: ['ERR_PYPROF_INTERNAL', 'ERR_PYPROF_SYSTEM'] },
  { status: 2, meaning: 'wrong use of the command line', codes: ['ERR_PYPROF_INVALID_ARGUMENT'] },
  { status: 3, meaning: 'no such process', codes: ['ERR_PYPROF_NO_SUCH_PROCESS'] },
  { status: 4, meaning: 'not a Python process', codes: ['ERR_PYPROF_NOT_PYTHON'] },
  { status: 5, meaning: 'no permission to read the process', codes: ['ERR_PYPROF_PERMISSION'] },
  { status: 6, meaning: 'unsupported CPython version', codes: ['ERR_PYPROF_UNSUPPORTED_VERSION'] },
  { status: 7, meaning: 'output not writable', codes: ['ERR_PYPROF_OUTPUT'] },
  { status: 8, meaning: 'target ended before anything was seen', codes: ['ERR_PYPROF_PROCESS_EXITED'] },
  { status: 9, meaning: 'interpreter still starting or shutting down', codes: ['ERR_PYPROF_NOT_READY'] },
  { status: 10, meaning: 'memory makes no sense as CPython state', codes: ['ERR_PYPROF_UNREADABLE'] },
  { status: 11, meaning: 'native addon missing', codes: ['ERR_PYPROF_NATIVE_MISSING'] },
  { status: 12, meaning: 'the engine asked for cannot be used here', codes: ['ERR_PYPROF_ENGINE'] },
  { status: 127, meaning: 'program to record cannot be started', codes: ['ERR_PYPROF_LAUNCH'] },
]

/** A command line that cannot be understood. */
export class UsageError extends Error {
  readonly command: string | undefined

  constructor(message: string, command?: string) {
    super(message)
    this.command = command
  }
}

export function statusOf(error: unknown): number {
  if (error instanceof UsageError) return 2
  if (!(error instanceof PyprofError)) return 1
  return STATUSES.find(({ codes }) => codes.includes(error.code))?.status ?? 1
}

/** As a shell gives it: 128 and the signal's number when a signal ended the program. */
export function statusOfProgram({ code, signal }: ProgramExit): number {
  if (signal === null) return code ?? 1
  return 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)
}
