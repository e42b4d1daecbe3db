/** The last lines that a program started here wrote, so that it does not write over the picture. */
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

const LINES = 1000
/** A line without an end must not grow without one either. */
const LENGTH = 2000

export class OutputLog {
  /** Oldest first; the last one may be unfinished. */
  readonly lines: string[] = []
  #open = false

  follow(stream: Readable | null): void {
    const decoder = new StringDecoder('utf8')
    stream?.on('data', (chunk: Buffer) => this.add(decoder.write(chunk)))
    stream?.on('error', () => {})
  }

  add(text: string): void {
    const [first = '', ...rest] = text.split('\n')
    if (this.#open) this.lines[this.lines.length - 1] = (this.lines.at(-1)! + first).slice(0, LENGTH)
    else if (text !== '') this.lines.push(first.slice(0, LENGTH))
    for (const line of rest) this.lines.push(line.slice(0, LENGTH))
    this.#open = this.#open || text !== ''
    // After a line's end comes an empty line that nothing was written to yet.
    if (this.lines.at(-1) === '') {
      this.lines.pop()
      this.#open = false
    }
    if (this.lines.length > LINES) this.lines.splice(0, this.lines.length - LINES)
  }
}
