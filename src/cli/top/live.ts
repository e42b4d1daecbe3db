/** The live view on a terminal: what comes from the session and from the keys becomes pictures. */
import { constants } from 'node:os'
import type { Key } from '../terminal/keyboard.js'
import type { Colours } from '../terminal/paint.js'
import { paint } from '../terminal/paint.js'
import type { Screen } from '../terminal/screen.js'
import { ENDS } from '../terminal/summary.js'
import { failed } from './failed.js'
import { type Action, press } from './keys.js'
import { Model } from './model/model.js'
import { PaceMeter } from './model/pace.js'
import type { Plan } from './plan.js'
import { save } from './save.js'
import type { Source, Startable } from './source.js'
import type { State } from './state.js'
import type { Scene, Target } from './views/context.js'
import { bodyHeight, frame } from './views/frame.js'

export interface LiveOptions {
  screen: Screen
  colours: Colours
  plan: Plan
  /** Of a program to start; else it becomes known later. */
  command: string
  windowNs: number
  start: () => Promise<Startable>
  /** What a program started here wrote last. */
  output: readonly string[]
  /** Proposed when saving. */
  fileName: (pid: number) => string
}

const INTERVAL_MS = 500

export class Live {
  readonly #options: LiveOptions
  readonly #model: Model
  readonly #pace: PaceMeter
  readonly #target: Target
  #state: State
  #source: Source | null = null
  #ended: string | null = null
  #closedAt = performance.now()
  readonly #quit = new AbortController()

  constructor(options: LiveOptions) {
    this.#options = options
    this.#state = options.plan.state
    const { target } = options.plan
    const pid = target && 'pid' in target ? target.pid : null
    this.#target = { pid, command: options.command, pythonVersion: null }
    this.#model = new Model(options.windowNs)
    this.#pace = new PaceMeter(options.windowNs)
  }

  /**
   * Until the user has seen enough; the exit status.
   *
   * @throws {PyprofError} when the target cannot be looked into
   */
  async run(): Promise<number> {
    const { signal } = this.#quit
    const quit = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    const { plan, start } = this.#options
    this.draw()
    const timer = setInterval(() => this.#next(), plan.interval ?? INTERVAL_MS)
    let startable: Startable | undefined
    try {
      startable = await start()
      this.#target.pid = startable.pid
      // The end of the session is not the end of the view.
      await Promise.race([quit, this.#follow(startable).then(() => quit)])
    } catch (error) {
      this.#options.screen.close()
      if (!startable) throw error
      return await failed(error, startable)
    } finally {
      clearInterval(timer)
      await this.#source?.close()
    }
    this.#options.screen.close()
    return startable.leave(this.#source?.ended === 'exited')
  }

  quit(): void {
    this.#quit.abort()
  }

  async #follow(startable: Startable): Promise<void> {
    const { signal } = this.#quit
    const { plan } = this.#options
    const source = await startable.open(plan, signal)
    this.#source = source
    if (signal.aborted) return source.close()
    const timer = plan.duration === undefined ? undefined : setTimeout(() => this.quit(), plan.duration)
    this.#closedAt = performance.now()
    let first = true
    for await (const batch of source.batches()) {
      this.#model.add(batch)
      // The first picture with something in it need not wait for its turn.
      if (first && batch.samples.length > 0) {
        first = false
        this.#next()
      }
    }
    clearTimeout(timer)
    this.#ended = ENDS[source.ended ?? 'stopped']
    this.#next()
  }

  #next(): void {
    const now = performance.now()
    if (this.#source && !this.#ended) this.#pace.add(this.#source.stats)
    if (this.#model.close((now - this.#closedAt) * 1e6)) this.#closedAt = now
    this.#learn()
    this.draw()
  }

  /** Command and version become known with the first batch. */
  #learn(): void {
    const target = this.#target
    for (const { pid, command, pythonVersion } of this.#model.tables?.processes.values() ?? []) {
      if (pid !== target.pid) continue
      target.command = command.join(' ') || target.command
      target.pythonVersion = pythonVersion ?? target.pythonVersion
    }
  }

  draw(): void {
    const { screen, colours } = this.#options
    const size = { columns: screen.columns, rows: screen.rows }
    screen.draw(frame(this.#scene(), size).map((line) => paint(line, size.columns, colours)))
  }

  #scene(): Scene {
    const { plan, windowNs, output } = this.#options
    return {
      model: this.#model,
      state: this.#state,
      target: this.#target,
      pace: this.#pace.pace(),
      rate: plan.rate,
      windowNs,
      ended: this.#ended,
      output,
    }
  }

  key(key: Key): void {
    const { screen, fileName } = this.#options
    const { state, action } = press(this.#state, key, {
      model: this.#model,
      page: Math.max(1, bodyHeight(screen) - 2),
      fileName: () => fileName(this.#target.pid ?? 0),
    })
    this.#state = state
    if (action) this.#do(action)
    this.draw()
  }

  #do(action: Action): void {
    switch (action.type) {
      case 'quit':
        this.quit()
        return
      case 'suspend':
        // As the terminal would: to all of the foreground, so that the shell sees its whole job stop.
        process.kill(0, constants.signals.SIGTSTP)
        return
      case 'reset':
        this.#model.reset()
        return
      case 'pause':
        this.#model.pause(!this.#model.paused)
        return
      case 'scope':
        this.#model.scope = action.scope
        return
      case 'save':
        void this.#save(action.path)
    }
  }

  async #save(path: string): Promise<void> {
    if (!this.#source) return
    this.#say('writing ...', false)
    try {
      this.#say(await save(await this.#source.profile(), path), false)
    } catch (error) {
      this.#say((error as Error).message, true)
    }
  }

  #say(text: string, bad: boolean): void {
    this.#state = { ...this.#state, message: { text, bad } }
    this.draw()
  }
}
