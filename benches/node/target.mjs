// Starts a Python to look at, on a CPU of its own where there is one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { findPythons } from '../../scripts/pythons.mjs'

/** `--python PATH`, else the newest that is not in a folder of its own. */
export function python(given) {
  const found = given ?? findPythons().findLast(({ sid }) => !sid)?.command
  if (!found) throw new Error('no Python found: --python PATH names one')
  return found
}

/** A running `targets/NAME`, ready; it ends with this process. */
export async function start(command, name, args, its) {
  const script = join(import.meta.dirname, 'targets', name)
  const words = [command, script, ...args.map(String)]
  if (its !== undefined) words.unshift('taskset', '-c', String(its))
  const child = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8')
  const ended = once(child, 'exit').then(([status]) => {
    throw new Error(`the target ended (${status})`)
  })
  ended.catch(() => {})
  await Promise.race([once(child.stdout, 'data'), ended])
  return child
}
