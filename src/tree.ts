/** One look at a process and all its descendants. */
import { binding } from './binding.js'
import { checkPid, native, PyprofError } from './errors.js'
import { type SnapshotOptions, snapshot } from './snapshot.js'
import type { ProcessSnapshot, TreeSnapshot } from './types.js'

/** Looks at once: each takes a thread for some milliseconds. */
const AT_ONCE = 4

/**
 * Looks once at every thread of a process and of all its descendants. Those that are not Python, or cannot be read, say
 * so in `obstacle`; those that end meanwhile are left out.
 *
 * @throws {PyprofError} `ERR_PYPROF_NO_SUCH_PROCESS`
 */
export async function snapshotTree(pid: number, options: SnapshotOptions = {}): Promise<TreeSnapshot> {
  checkPid(pid)
  const tree = await native(binding().processTree(pid))
  const found = new Array<ProcessSnapshot | null>(tree.length)
  const queue = tree.entries()
  const work = async () => {
    for (const [index, { pid, ppid, command }] of queue) {
      const seen = await look(pid, options)
      found[index] = seen && { pid, ppid: ppid || null, command, ...seen }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return { schemaVersion: 1, processes: found.filter((process) => process !== null) }

  /** `null`: it has ended, and it is not the one that was asked for. */
  async function look(of: number, options: SnapshotOptions) {
    try {
      return { snapshot: await snapshot(of, options), obstacle: null }
    } catch (error) {
      if (!(error instanceof PyprofError)) throw error
      const { code, message } = error
      if (code === 'ERR_PYPROF_NO_SUCH_PROCESS' || code === 'ERR_PYPROF_PROCESS_EXITED') {
        if (of === pid) throw error
        return null
      }
      return { snapshot: null, obstacle: { code, message } }
    }
  }
}
