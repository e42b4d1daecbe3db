/** Who gets the signals sent to this process while it records. */
import { readFileSync } from 'node:fs'
import type { Launched } from '../launch.js'

/** A terminal sends these to every process of the foreground group, so to a launched program too. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGHUP']
/** These end a recording. */
const ENDING: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']
const PASSED_ON: readonly NodeJS.Signals[] = [...ENDING, 'SIGUSR1', 'SIGUSR2']

/**
 * Without a program, the first signal calls `stop`. With one, the program gets the signal, and the recording goes
 * on until the program ends; a second one calls `stop`. A third, or a second without a program, gives up.
 * Returns a function that puts everything back.
 */
export function handleSignals(launched: Launched | null, stop: () => void): () => void {
  let received = 0
  const handlers = (launched ? PASSED_ON : ENDING).map((signal) => {
    const handler = () => {
      if (launched && !launched.ended && !(FROM_TERMINAL.includes(signal) && inForeground())) {
        launched.child.kill(signal)
      }
      if (!ENDING.includes(signal)) return
      received++
      const toStop = launched ? 2 : 1
      if (received === toStop) stop()
      if (received > toStop) putBack()
    }
    process.on(signal, handler)
    return { signal, handler }
  })
  function putBack() {
    for (const { signal, handler } of handlers) process.off(signal, handler)
  }
  return putBack
}

/**
 * In the foreground of a terminal, where Ctrl-C reaches the program by itself. Fields 5 and 8 of
 * /proc/PID/stat: our process group and the one the terminal listens to.
 */
function inForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[2] === fields[5]
}
