/** A real terminal to look at: tmux, on a server of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'

export const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0

/** How long anything may take on a busy machine, ms. Nobody waits so long: what is waited for ends the wait. */
const PATIENCE = 60_000

export class Tmux {
  readonly #socket = `pyprof-test-${process.pid}-${randomBytes(4).toString('hex')}`

  constructor(t: ExecutionContext, columns = 80, rows = 24) {
    const size = ['-x', String(columns), '-y', String(rows)]
    const shell = ['env', '-u', 'NO_COLOR', 'LC_ALL=C.UTF-8', 'PS1=$ ', 'sh']
    this.#tmux('-f', '/dev/null', 'new-session', '-d', ...size, ...shell)
    t.teardown(() => this.close())
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-L', this.#socket, ...args], { encoding: 'utf8' })
  }

  /** As when its window is closed. */
  close(): void {
    spawnSync('tmux', ['-L', this.#socket, 'kill-server'])
  }

  /** Types text as it is, and no Enter. */
  type(text: string): void {
    this.#tmux('send-keys', '-l', text)
  }

  /** By tmux's names: `Enter`, `C-c`, `Up`. */
  key(name: string): void {
    this.#tmux('send-keys', name)
  }

  run(command: string): void {
    this.type(command)
    this.key('Enter')
  }

  screen(): string {
    return this.#tmux('capture-pane', '-p')
  }

  /** With colours. */
  colours(): string {
    return this.#tmux('capture-pane', '-p', '-e')
  }

  /** Whether the alternate screen is shown. */
  get alternate(): boolean {
    return this.#tmux('display-message', '-p', '#{alternate_on}').trim() === '1'
  }

  get cursorShown(): boolean {
    return this.#tmux('display-message', '-p', '#{cursor_flag}').trim() === '1'
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows))
  }

  /** The screen, once it is as asked. */
  async until(what: RegExp | ((screen: string) => boolean)): Promise<string> {
    const fits = typeof what === 'function' ? what : (screen: string) => what.test(screen)
    const end = Date.now() + PATIENCE
    for (;;) {
      const screen = this.screen()
      if (fits(screen)) return screen
      if (Date.now() > end) throw new Error(`the screen never fitted ${what}:\n${screen}`)
      await pause(20)
    }
  }

  /** What `stty -a` says of the terminal, without its size. */
  async modes(): Promise<string> {
    const file = `/tmp/${this.#socket}-stty`
    this.run(`stty -a > ${file}; clear; echo mo''des`)
    await this.until(/^modes$/m)
    return readFileSync(file, 'utf8').replace(/rows \d+; columns \d+;/, '')
  }
}
