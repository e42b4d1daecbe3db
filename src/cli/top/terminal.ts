/** Gives the terminal to one part of `top` after the other, and back at the end. */
import type { Key } from '../terminal/keyboard.js'
import { Keyboard } from '../terminal/keyboard.js'
import type { Colours } from '../terminal/paint.js'
import { Screen } from '../terminal/screen.js'

/** What has the terminal at the moment. */
export interface Stage {
  draw(): void
  key(key: Key): void
  quit(): void
}

/** One of them ends the view as `q` does; another one, when that takes long, ends the program at once. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

export class Terminal {
  readonly screen = new Screen(process.stdin, process.stdout)
  readonly colours: Colours = process.env['NO_COLOR'] ? 'attributes' : 'all'
  /** A signal or the end of the terminal asked for the end. */
  ending = false
  readonly #keyboard: Keyboard
  #stage: Stage | null = null
  readonly #signal = (signal: NodeJS.Signals) => {
    if (this.ending) {
      this.close()
      process.kill(process.pid, signal)
    }
    this.#end()
  }

  constructor() {
    this.#keyboard = new Keyboard(
      process.stdin,
      (key) => this.#stage?.key(key),
      () => this.#end(),
    )
    for (const name of ENDING) process.on(name, this.#signal)
    this.screen.open(() => this.#stage?.draw())
  }

  show(stage: Stage): void {
    this.#stage = stage
    if (this.ending) stage.quit()
  }

  close(): void {
    this.#stage = null
    this.#keyboard.close()
    this.screen.close()
    for (const name of ENDING) process.off(name, this.#signal)
  }

  #end(): void {
    this.ending = true
    this.#stage?.quit()
  }
}

/** Whether there is a terminal that can show pictures and has keys. */
export function hasTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true && process.env['TERM'] !== 'dumb'
}
