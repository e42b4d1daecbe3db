/**
 * The whole terminal as one picture. It is drawn on the alternate screen by one write each, and what was there
 * before comes back however the program ends.
 */
import type { ReadStream, WriteStream } from 'node:tty'

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l'
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l'
/** Terminals that know it draw everything in between at once; others ignore it. */
const BEGIN = '\x1b[?2026h'
const END = '\x1b[?2026l'

/** Whoever is not stopped by then will not be. */
const IGNORED_MS = 100

export class Screen {
  readonly #input: ReadStream
  readonly #output: WriteStream
  #open = false
  #redraw: () => void = () => {}
  readonly #restore = () => this.#leave()
  readonly #resized = () => this.#redraw()
  readonly #stopped = () => this.suspend()
  readonly #continued = () => {
    process.off('SIGTSTP', this.#stopped)
    process.on('SIGTSTP', this.#stopped)
    this.#enter()
  }
  #goesOn: NodeJS.Timeout | undefined

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input
    this.#output = output
  }

  get columns(): number {
    return this.#output.columns || 80
  }

  get rows(): number {
    return this.#output.rows || 24
  }

  /** `redraw` is called when the size has changed, and when the program is back in the foreground. */
  open(redraw: () => void): void {
    this.#redraw = redraw
    this.#output.on('resize', this.#resized)
    process.on('exit', this.#restore)
    // Before the error is printed, which would else go to the alternate screen and vanish with it.
    process.on('uncaughtExceptionMonitor', this.#restore)
    process.on('SIGTSTP', this.#stopped)
    process.on('SIGCONT', this.#continued)
    this.#enter()
  }

  close(): void {
    this.#leave()
    this.#output.off('resize', this.#resized)
    process.off('exit', this.#restore)
    process.off('uncaughtExceptionMonitor', this.#restore)
    process.off('SIGTSTP', this.#stopped)
    process.off('SIGCONT', this.#continued)
    clearTimeout(this.#goesOn)
  }

  /** `lines`: no wider than the screen, no more than it has. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return
    // Each line is emptied before it is written: afterwards, a full one would lose its last character.
    const text = lines.map((line) => `\x1b[K${line}`).join('\r\n')
    const rest = lines.length < this.rows ? '\r\n\x1b[J' : ''
    this.#output.write(`${BEGIN}\x1b[H${text}${rest}${END}`)
  }

  /** Ctrl-Z: gives the terminal back and stops, as without a handler. Goes on at SIGCONT. */
  suspend(): void {
    this.#leave()
    // SIGSTOP would stop it where no shell could ever let it go on; there the kernel ignores SIGTSTP.
    process.off('SIGTSTP', this.#stopped)
    process.kill(process.pid, 'SIGTSTP')
    clearTimeout(this.#goesOn)
    this.#goesOn = setTimeout(this.#continued, IGNORED_MS)
  }

  #enter(): void {
    if (this.#open) return
    this.#open = true
    this.#input.setRawMode(true)
    this.#output.write(ENTER)
    this.#redraw()
  }

  #leave(): void {
    if (!this.#open) return
    this.#open = false
    // A terminal that is gone needs no restoring.
    try {
      this.#output.write(LEAVE)
      this.#input.setRawMode(false)
    } catch {}
  }
}
