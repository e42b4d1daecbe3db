import { binding } from './binding.js'
import { native } from './errors.js'
import type { ProcessInfo } from './types.js'

/**
 * The Python processes of this host, ordered by pid. Those that may not be looked into are judged by their
 * file names and say in `obstacle` what is in the way.
 */
export async function processes(): Promise<ProcessInfo[]> {
  const list = await native(binding().processes())
  return list.map((raw) => ({
    ...raw,
    pythonVersion: raw.pythonVersion ?? null,
    obstacle: raw.obstacle ?? null,
  }))
}
