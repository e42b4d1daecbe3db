/** Writes what was seen, in the format that the file's name asks for. */
import type { Profile } from '../../profile.js'
import { EXTENSIONS, formatOfPath } from '../format.js'
import { openOutput } from '../output.js'
import { count } from '../terminal/units.js'

/** Says what was written. */
export async function save(profile: Profile, path: string): Promise<string> {
  const format = formatOfPath(path)
  if (!format) throw new Error(`${path} names no format: end it in ${Object.values(EXTENSIONS).join(', ')}`)
  const output = await openOutput(path)
  try {
    await output.write(profile.to(format))
  } catch (error) {
    await output.discard()
    throw error
  }
  return `${count(profile.stats.samples)} samples written to ${path} (${format})`
}
