/** Bytes of a terminal as keys. */
import type { ReadStream } from 'node:tty'

export interface Key {
  /** `a`, `up`, `return`, `escape`; absent for characters without a name. */
  name?: string
  /** What was typed; empty for keys that type nothing. */
  text: string
  ctrl?: boolean
  shift?: boolean
}

const FINAL: Record<string, string> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'end',
  Z: 'tab',
}

const TILDE: Record<string, string> = {
  1: 'home',
  3: 'delete',
  4: 'end',
  5: 'pageup',
  6: 'pagedown',
  7: 'home',
  8: 'end',
}

/** ESC [ parameters final, or ESC O final. */
const SEQUENCE = /^\x1b(?:\[([\d;?<>=]*)([@-~])|O([@-~]))/
/** The beginning of one. */
const UNFINISHED = /^\x1b(?:\[[\d;?<>=]*|O)?$/

/** Keys of a piece of input, and what is not a whole key yet. */
export function decode(input: string): { keys: Key[]; rest: string } {
  const keys: Key[] = []
  let rest = input
  while (rest !== '') {
    if (UNFINISHED.test(rest)) return { keys, rest }
    const match = SEQUENCE.exec(rest)
    if (match) {
      rest = rest.slice(match[0].length)
      const key = sequenceKey(match)
      if (key) keys.push(key)
      continue
    }
    const char = String.fromCodePoint(rest.codePointAt(0)!)
    rest = rest.slice(char.length)
    keys.push(charKey(char))
  }
  return { keys, rest }
}

function sequenceKey([, parameters = '', final, ss3]: RegExpExecArray): Key | undefined {
  const [number = '', modifiers = ''] = parameters.split(';')
  const name = final === '~' ? TILDE[number] : FINAL[(final ?? ss3)!]
  if (name === undefined) return undefined
  const shift = final === 'Z' || ((Number(modifiers || 1) - 1) & 1) === 1
  return { name, text: '', ...(shift ? { shift } : {}) }
}

function charKey(char: string): Key {
  switch (char) {
    case '\r':
    case '\n':
      return { name: 'return', text: '' }
    case '\t':
      return { name: 'tab', text: '' }
    case '\x1b':
      return { name: 'escape', text: '' }
    case '\x7f':
    case '\b':
      return { name: 'backspace', text: '' }
    case ' ':
      return { name: 'space', text: ' ' }
  }
  const code = char.charCodeAt(0)
  if (code < 0x20) return { name: String.fromCharCode(code + 0x60), text: '', ctrl: true }
  if (/^[A-Z]$/.test(char)) return { name: char.toLowerCase(), text: char, shift: true }
  return /^[a-z]$/.test(char) ? { name: char, text: char } : { text: char }
}

/** An escape alone is the key, unless the rest of a sequence comes within this time. */
const ESCAPE_MS = 30

export class Keyboard {
  readonly #input: ReadStream
  readonly #listener: (key: Key) => void
  readonly #gone: () => void
  #rest = ''
  #timer: NodeJS.Timeout | undefined
  readonly #data = (text: string) => this.#read(text)

  /** `gone`: the terminal is. */
  constructor(input: ReadStream, listener: (key: Key) => void, gone: () => void) {
    this.#input = input
    this.#listener = listener
    this.#gone = gone
    input.setEncoding('utf8')
    input.on('data', this.#data)
    input.on('end', gone)
    input.on('error', gone)
    input.resume()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#input.off('data', this.#data)
    this.#input.off('end', this.#gone)
    this.#input.pause()
  }

  #read(text: string): void {
    clearTimeout(this.#timer)
    const { keys, rest } = decode(this.#rest + text)
    this.#rest = rest
    for (const key of keys) this.#listener(key)
    if (rest === '') return
    this.#timer = setTimeout(() => {
      this.#rest = ''
      this.#listener({ name: 'escape', text: '' })
    }, ESCAPE_MS)
  }
}
