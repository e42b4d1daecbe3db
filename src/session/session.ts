/** A session: samples of a process, or of a tree of them, as they come. */
import type { ChildProcess } from 'node:child_process'
import { AbortError, invalid, native } from '../errors.js'
import type { Launched } from '../launch.js'
import { Profile } from '../profile.js'
import type { RawMark, RawSession, RawSessionOptions } from '../raw.js'
import type { EndReason, EngineName, ProgramExit, RecordingStats } from '../types.js'
import { type Batch, unpack } from './batch.js'
import type { SessionEvent } from './events.js'
import { Sample } from './sample.js'
import { Tables } from './tables.js'
import { gone } from './target.js'

/** What a session is made of. */
export interface Parts {
  pid: number
  options: RawSessionOptions
  launched: Launched | null
  signal: AbortSignal | undefined
}

/**
 * Sampling under way. Iterate it for samples and events, or ask it for a profile. It samples until its duration is
 * over, the target has ended, or it is closed; while it does, it keeps Node running.
 */
export class Session implements AsyncIterable<SessionEvent>, AsyncDisposable {
  readonly #raw: RawSession
  readonly #parts: Parts
  readonly #tables = new Tables()
  readonly #wakeUp: Wake
  #reading = false
  #over = false
  #ended: EndReason | null = null
  /**
   * Settles when the session has ended, with the reason.
   *
   * @throws {AbortError} when `signal` aborted it
   * @throws {PyprofError} when it failed; see `ERROR_CODES`
   */
  readonly closed: Promise<EndReason>

  /** @internal */
  constructor(raw: RawSession, parts: Parts, wakeUp: Wake) {
    this.#raw = raw
    this.#parts = parts
    this.#wakeUp = wakeUp
    this.closed = this.#end()
    // Who does not ask has other ways to learn of it.
    this.closed.catch(() => {})
  }

  /** The process attached to. */
  get pid(): number {
    return this.#parts.pid
  }

  /** The program started by `spawn()`; `null` for `attach()`. */
  get child(): ChildProcess | null {
    return this.#parts.launched?.child ?? null
  }

  /** How the program started by `spawn()` ends; `null` for `attach()`. */
  get exit(): Promise<ProgramExit> | null {
    return this.#parts.launched?.exit ?? null
  }

  /** Why it ended; `null` while it goes on. */
  get ended(): EndReason | null {
    return this.#ended
  }

  /** The sampler's health so far. */
  get stats(): RecordingStats {
    return this.#raw.stats() as RecordingStats
  }

  /** Where the stacks come from. */
  get engine(): EngineName {
    return this.stats.engine
  }

  /**
   * Yields what is sampled, in order of time, and ends with the session; leaving the loop ends the session. A session
   * is read once. What is not read in time is dropped, the oldest first, and shows as a gap.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<SessionEvent, void, undefined> {
    for await (const batch of this.batches()) {
      if (batch.lost > 0) yield { type: 'gap', lost: batch.lost }
      const { samples, events } = batch
      let next = 0
      for (let i = 0; i < samples.length; i++) {
        while (next < events.length && events[next]!.before <= i) yield events[next++]!
        yield new Sample(batch, i)
      }
      while (next < events.length) yield events[next++]!
    }
  }

  /**
   * The same, packed: typed arrays, about fifty times a second at most. Leaving the loop ends the session.
   */
  async *batches(): AsyncGenerator<Batch, void, undefined> {
    if (this.#parts.options.stream === undefined) throw invalid('this session has no buffer to read from')
    if (this.#reading) throw invalid('a session can be read once: it is being read, or has been')
    this.#reading = true
    try {
      for (;;) {
        const woken = this.#wakeUp.next()
        // A session that fails has no last batch.
        const over = this.#over
        const raw = this.#raw.drain()
        const batch = unpack(raw, this.#tables)
        if (batch.samples.length > 0 || batch.events.length > 0 || batch.lost > 0) yield batch
        if (raw.ended || over) {
          await this.closed
          return
        }
        await woken
      }
    } finally {
      await this.close()
    }
  }

  /** What was collected so far. The session goes on. */
  async profile(): Promise<Profile> {
    return this.#profile()
  }

  /**
   * What is collected from now on, for `duration` ms or until the session ends. The session goes on.
   *
   * @throws {AbortError} when `signal` aborts; the session goes on
   */
  async collect({ duration, signal }: { duration?: number; signal?: AbortSignal } = {}): Promise<Profile> {
    if (duration !== undefined && !(duration > 0)) throw invalid(`duration is ms above 0, not ${duration}`)
    const mark = await native(this.#raw.mark())
    await this.#wait(duration, signal)
    return this.#profile(mark)
  }

  /**
   * Ends the session and settles when it has ended; its profile can be asked for still. The target goes on, a program
   * started by `spawn()` too.
   */
  async close(): Promise<void> {
    this.#raw.stop()
    // Whoever closes does not ask how it would have ended.
    await this.closed.catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #end(): Promise<EndReason> {
    const { signal, launched } = this.#parts
    const abort = () => this.#raw.stop()
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    try {
      const { reason } = await native(this.#raw.ended())
      this.#ended = reason
      if (signal?.aborted && reason === 'stopped') throw new AbortError(signal.reason)
      return reason
    } catch (error) {
      throw gone(error, launched)
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#over = true
      this.#wakeUp.call()
    }
  }

  async #profile(mark?: RawMark): Promise<Profile> {
    const { pid, options, launched } = this.#parts
    const raw = await native(mark === undefined ? this.#raw.profile() : this.#raw.profile(mark))
    // The sampler sees the end of a launched program before Node has collected its status.
    const exit = raw.end === 'exited' && launched ? await launched.exit : null
    return new Profile(raw, {
      pid,
      rate: options.rate,
      mode: options.mode,
      subprocesses: options.subprocesses,
      exit,
    })
  }

  /** Until the time is over or the session ends. */
  #wait(duration: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = duration === undefined ? undefined : setTimeout(done, duration)
      const abort = () => done(new AbortError(signal!.reason))
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted) abort()
      this.closed.then(() => done(), done)
      function done(error?: unknown) {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        if (error === undefined) resolve()
        else reject(error)
      }
    })
  }
}

/** The sampling thread's call, as a promise of the next one. */
export class Wake {
  #resolve: () => void = () => {}

  /** For the addon. */
  readonly call = (): void => this.#resolve()

  /** Settles with the next call. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }
}
