/** Starts the program to record. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { PyprofError } from './errors.js'
import type { ProgramExit } from './types.js'

/** A program that was started, and how it ended or will end. */
export interface Launched {
  child: ChildProcess
  pid: number
  exit: Promise<ProgramExit>
  /** Set once it has ended. */
  ended: ProgramExit | null
}

/** @throws {PyprofError} `ERR_PYPROF_LAUNCH`, with the system's error as `cause` */
export async function launch(
  command: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<Launched> {
  const child = spawn(command, args, options)
  const exit = new Promise<ProgramExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  try {
    await once(child, 'spawn')
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code
    throw new PyprofError('ERR_PYPROF_LAUNCH', `cannot start ${command}: ${explain(reason)}`, cause)
  }
  // Nothing can fail after 'spawn' but sending signals, and kill() says that itself.
  child.on('error', () => {})
  const launched: Launched = { child, pid: child.pid!, exit, ended: null }
  void exit.then((ended) => {
    launched.ended = ended
  })
  return launched
}

function explain(reason: string | undefined): string {
  if (reason === 'ENOENT') return 'no such program; give its path, or check PATH'
  if (reason === 'EACCES')
    return 'it is not executable; start it by its interpreter, for example `python3 file.py`'
  return reason ?? 'unknown reason'
}
