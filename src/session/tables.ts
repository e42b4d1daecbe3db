/**
 * What the numbers of a stream stand for. The tables of a session grow with what is new; what they hold never changes
 * its place. Threads and processes that have ended are forgotten, or a service that starts one for each request would
 * fill the memory.
 */
import type { RawBatch, RawFrames, RawProcessSeen, RawThread } from '../raw.js'
import type { FrameKind, ProfiledProcess, StackFrame, ThreadSeen } from '../types.js'

/** A thread of a session, with its process. The same thread is always the same object, kept up to date. */
export interface SessionThread extends ThreadSeen {
  readonly process: ProfiledProcess
}

const KINDS: readonly FrameKind[] = ['python', 'missing', 'native', 'kernel']

/** A process as the addon gives it. */
export function seen(raw: RawProcessSeen): ProfiledProcess {
  return { ...raw, pythonVersion: raw.pythonVersion ?? null }
}

/** Strings, frames, stacks, threads and processes of a session. */
export class Tables {
  readonly #strings: string[] = []
  readonly #frames: StackFrame[] = []
  readonly #parents = new Column()
  readonly #leaves = new Column()
  readonly #threads = new Map<number, SessionThread>()
  readonly #processes = new Map<number, ProfiledProcess>()
  readonly #endedThreads: number[] = []
  readonly #endedProcesses: number[] = []

  /** Every text, by its index. */
  get strings(): readonly string[] {
    return this.#strings
  }

  /** Every distinct place, by its index. */
  get frames(): readonly StackFrame[] {
    return this.#frames
  }

  /** The threads, by their id; one that has ended is here until the next batch. */
  get threads(): ReadonlyMap<number, SessionThread> {
    return this.#threads
  }

  /** The processes, by their id; one that has ended is here until the next batch. */
  get processes(): ReadonlyMap<number, ProfiledProcess> {
    return this.#processes
  }

  /** How many stacks there are; the empty one, 0, is counted. */
  get stackCount(): number {
    return this.#parents.length
  }

  /** The stack without its leaf. */
  parentOf(stack: number): number {
    return this.#parents.at(stack)
  }

  /** Index of the leaf of a stack other than the empty one. */
  leafOf(stack: number): number {
    return this.#leaves.at(stack)
  }

  /** The frames of a stack, root first. The same frame is always the same object. */
  framesOf(stack: number): StackFrame[] {
    let depth = 0
    for (let at = stack; at !== 0; at = this.#parents.at(at)) depth++
    const frames = new Array<StackFrame>(depth)
    for (let at = stack; at !== 0; at = this.#parents.at(at))
      frames[--depth] = this.#frames[this.#leaves.at(at)]!
    return frames
  }

  /** @internal Nothing that comes after this batch belongs to it. */
  threadEnded(id: number): void {
    this.#endedThreads.push(id)
  }

  /** @internal As {@link threadEnded}. */
  processEnded(id: number): void {
    this.#endedProcesses.push(id)
  }

  /** @internal */
  add(batch: RawBatch): void {
    for (const id of this.#endedThreads.splice(0)) this.#threads.delete(id)
    for (const id of this.#endedProcesses.splice(0)) this.#processes.delete(id)
    for (const text of batch.strings) this.#strings.push(text)
    const { frames } = batch
    for (let i = 0; i < frames.kind.length; i++) this.#frames.push(this.#frame(frames, i))
    this.#parents.add(batch.stacks.parent)
    this.#leaves.add(batch.stacks.frame)
    for (const row of batch.processes) update(this.#processes, seen(row))
    for (const row of batch.threads) update(this.#threads, this.#thread(row))
  }

  #thread({ id, pid, tid, pythonId, name, process }: RawThread): SessionThread {
    return { id, pid, tid, pythonId, name, process: this.#processes.get(process)! }
  }

  #frame(frames: RawFrames, i: number): StackFrame {
    const column = frames.column[i]!
    const endColumn = frames.endColumn[i]!
    const module = this.#strings[frames.module[i]!]!
    return {
      kind: KINDS[frames.kind[i]!]!,
      name: this.#strings[frames.name[i]!]!,
      file: this.#strings[frames.file[i]!]!,
      ...(module === '' ? {} : { module }),
      firstLine: frames.firstLine[i]! || null,
      line: frames.line[i]! || null,
      endLine: frames.endLine[i]! || null,
      // The addon counts columns from 1, so that 0 can mean unknown.
      column: column === 0 ? null : column - 1,
      endColumn: endColumn === 0 ? null : endColumn - 1,
    }
  }
}

/** Whoever holds the object sees the change. */
function update<T extends { id: number }>(rows: Map<number, T>, row: T): void {
  const known = rows.get(row.id)
  if (known) Object.assign(known, row)
  else rows.set(row.id, row)
}

/** A growing column of integers. */
class Column {
  #values = new Uint32Array(1024)
  length = 0

  add(more: Uint32Array): void {
    const length = this.length + more.length
    if (length > this.#values.length) {
      const values = new Uint32Array(2 ** Math.ceil(Math.log2(length)))
      values.set(this.#values.subarray(0, this.length))
      this.#values = values
    }
    this.#values.set(more, this.length)
    this.length = length
  }

  at(index: number): number {
    return this.#values[index]!
  }
}
