/** Lets the user choose one of the Python processes of this host; the list stays current meanwhile. */
import { constants } from 'node:os'
import { processes } from '../../processes.js'
import type { Key } from '../terminal/keyboard.js'
import { type Colours, paint } from '../terminal/paint.js'
import type { Screen } from '../terminal/screen.js'
import { type Choosing, chooser, pressInChooser } from './views/chooser.js'

const REFRESH_MS = 2000

export class Chooser {
  readonly #screen: Screen
  readonly #colours: Colours
  #choosing: Choosing = { processes: null, cursor: null, filter: '', typing: false }
  #finish: ((pid: number | null) => void) | null = null

  constructor(screen: Screen, colours: Colours) {
    this.#screen = screen
    this.#colours = colours
  }

  /** The chosen pid; `null`: none. */
  async run(): Promise<number | null> {
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<number | null>((resolve, reject) => {
        this.#finish = resolve
        this.draw()
        const refresh = async () => {
          const list = await processes()
          if (!this.#finish) return
          this.#choosing = { ...this.#choosing, processes: list }
          this.draw()
          timer = setTimeout(() => refresh().catch(reject), REFRESH_MS)
        }
        refresh().catch(reject)
      })
    } finally {
      clearTimeout(timer)
      this.#finish = null
    }
  }

  quit(): void {
    this.#finish?.(null)
  }

  key(key: Key): void {
    const { choosing, chosen } = pressInChooser(this.#choosing, key)
    this.#choosing = choosing
    if (chosen === 'quit') this.quit()
    else if (chosen === 'suspend') process.kill(0, constants.signals.SIGTSTP)
    else if (chosen) this.#finish?.(chosen.pid)
    else this.draw()
  }

  draw(): void {
    if (!this.#finish) return
    const { columns, rows } = this.#screen
    const lines = chooser(this.#choosing, { columns, rows })
    this.#screen.draw(lines.map((line) => paint(line, columns, this.#colours)))
  }
}
