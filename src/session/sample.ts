/** A sample as an object. It holds its place in a batch; what it shows is made when it is asked for. */
import { inspect } from 'node:util'
import type { StackFrame } from '../types.js'
import {
  type Batch,
  BLOCKED,
  CUT,
  GOES_ON,
  HANDLES_EXCEPTION,
  HOLDS_GIL,
  IN_GC,
  ON_CPU,
  WAITS_FOR_CPU,
  WAITS_FOR_GIL,
} from './batch.js'
import type { SessionThread } from './tables.js'

/** One stack of one thread. */
export class Sample {
  readonly #batch: Batch
  readonly #index: number
  /** Its thread, with its process: always the same object for the same thread. */
  readonly thread: SessionThread

  /** @internal */
  constructor(batch: Batch, index: number) {
    this.#batch = batch
    this.#index = index
    // The tables forget threads that have ended.
    this.thread = batch.tables.threads.get(batch.samples.thread[index]!)!
  }

  get type(): 'sample' {
    return 'sample'
  }

  /** ns since the session's start. */
  get timeNs(): number {
    return this.#batch.samples.timeNs[this.#index]!
  }

  /** Elapsed time that it stands for, in ns: since the look before. */
  get wallNs(): number {
    return this.#batch.samples.wallNs[this.#index]!
  }

  /** CPU time of the thread in it, in ns, from the kernel's account. */
  get cpuNs(): number {
    return this.#batch.samples.cpuNs[this.#index]!
  }

  /** The thread was on a CPU, or waited for one. */
  get onCpu(): boolean {
    return (this.#flags & ON_CPU) !== 0
  }

  /** The thread held a GIL. */
  get holdsGil(): boolean {
    return (this.#flags & HOLDS_GIL) !== 0
  }

  /** The thread was blocked in the lock of its GIL. */
  get waitsForGil(): boolean {
    return (this.#flags & WAITS_FOR_GIL) !== 0
  }

  /** The thread held the GIL while its interpreter collected garbage. Not known on 3.8. */
  get inGc(): boolean {
    return (this.#flags & IN_GC) !== 0
  }

  /** The thread was in an `except` or `finally` block of an exception. Known from CPython 3.11 on. */
  get handlesException(): boolean {
    return (this.#flags & HANDLES_EXCEPTION) !== 0
  }

  /**
   * With `offcpu`, what the thread did while it was off its CPU, for exactly `wallNs`: `blocked`, or `ready` when it could
   * have run but had no CPU. `null` for a sample of another kind.
   */
  get wait(): 'blocked' | 'ready' | null {
    if ((this.#flags & BLOCKED) !== 0) return 'blocked'
    return (this.#flags & WAITS_FOR_CPU) !== 0 ? 'ready' : null
  }

  /** With `offcpu`: the wait of the thread's sample before goes on. A long one comes in pieces. */
  get goesOn(): boolean {
    return (this.#flags & GOES_ON) !== 0
  }

  /** The system call that the thread was blocked in, for example `futex`; `null` when in none, or not known. */
  get syscall(): string | null {
    const { samples, tables } = this.#batch
    return tables.strings[samples.syscall[this.#index]! - 1] ?? null
  }

  /** False when the stack was cut: its last frame is then of kind `missing`. */
  get complete(): boolean {
    return (this.#flags & CUT) === 0
  }

  /** Root first; empty when no Python code ran. The same frame is always the same object. */
  get frames(): StackFrame[] {
    return this.#batch.tables.framesOf(this.stack)
  }

  /** The frame that ran; `undefined` when no Python code did. */
  get leaf(): StackFrame | undefined {
    const { tables } = this.#batch
    return this.stack === 0 ? undefined : tables.frames[tables.leafOf(this.stack)]
  }

  /** The stack's number: equal stacks of a session have equal numbers. */
  get stack(): number {
    return this.#batch.samples.stack[this.#index]!
  }

  get #flags(): number {
    return this.#batch.samples.flags[this.#index]!
  }

  /** All of it as a plain object. */
  toJSON() {
    const { type, timeNs, wallNs, cpuNs, onCpu, holdsGil, waitsForGil, inGc, handlesException } = this
    const { wait, goesOn, syscall, complete, thread, frames } = this
    const state = { onCpu, holdsGil, waitsForGil, inGc, handlesException, wait, goesOn, syscall }
    return { type, timeNs, wallNs, cpuNs, ...state, complete, thread, frames }
  }

  [inspect.custom]() {
    return this.toJSON()
  }
}
