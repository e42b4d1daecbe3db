/** When a target cannot be looked into. */
import { plain } from '../terminal/plain.js'
import type { Startable } from './source.js'

/** A program's own failure comes first, as its status: who starts a program this way asks for it. */
export async function failed(error: unknown, target: Startable): Promise<number> {
  const status = await target.leave(false)
  if (status === 0) throw error
  process.stderr.write(`pyprof-rs: ${plain((error as Error).message)}\n`)
  return status
}
