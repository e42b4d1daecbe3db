/** A session made by hand, in the shape of src/session: what `top` sees, without sampling anything. */

import type {
  Batch,
  Event,
  Frame,
  Health,
  Process,
  Samples,
  Source,
  Tables,
  Thread,
} from '../../src/cli/top/source.js'
import { Profile } from '../../src/profile.js'
import type { EndReason } from '../../src/types.js'
import { example } from './raw.js'

export interface SampleSpec {
  thread: Thread
  /** Root first; see {@link frame}. */
  stack: Frame[]
  wallMs?: number
  cpuMs?: number
  onCpu?: boolean
  holdsGil?: boolean
  cut?: boolean
}

/** `name file:line`, the function beginning at line 1. */
export function frame(text: string, more: Partial<Frame> = {}): Frame {
  const [name = '', where = ''] = text.split(' ')
  const [file = '', line = '1'] = where.split(':')
  return { kind: 'python', name, file, firstLine: 1, line: Number(line), ...more }
}

export const MISSING: Frame = {
  kind: 'missing',
  name: '[missing: stack cut]',
  file: '',
  firstLine: null,
  line: null,
}

export class FakeTables implements Tables {
  readonly frames: Frame[] = []
  readonly threads = new Map<number, Thread>()
  readonly processes = new Map<number, Process>()
  readonly #keys = new Map<string, number>()
  readonly #parents = [0]
  readonly #leaves = [0]

  get stackCount(): number {
    return this.#parents.length
  }

  parentOf(stack: number): number {
    return this.#parents[stack]!
  }

  leafOf(stack: number): number {
    return this.#leaves[stack]!
  }

  process(pid: number, more: Partial<Process> = {}): Process {
    const process = {
      id: this.processes.size,
      pid,
      ppid: 1,
      pythonVersion: '3.12.1',
      command: ['python3', 'app.py'],
      ...more,
    }
    this.processes.set(process.id, process)
    return process
  }

  thread(process: Process, tid: number, name: string): Thread {
    const thread = { id: this.threads.size, process, pid: process.pid, tid, name }
    this.threads.set(thread.id, thread)
    return thread
  }

  stack(frames: readonly Frame[]): number {
    let at = 0
    for (const frame of frames) at = this.#child(at, this.#frame(frame))
    return at
  }

  #frame(frame: Frame): number {
    const key = JSON.stringify(frame)
    let index = this.#keys.get(key)
    if (index === undefined) {
      index = this.frames.push(frame) - 1
      this.#keys.set(key, index)
    }
    return index
  }

  #child(parent: number, frame: number): number {
    const key = `${parent} ${frame}`
    let stack = this.#keys.get(key)
    if (stack === undefined) {
      stack = this.#parents.push(parent) - 1
      this.#leaves.push(frame)
      this.#keys.set(key, stack)
    }
    return stack
  }
}

/** Samples that end at `timeMs`. */
export function batch(
  tables: FakeTables,
  timeMs: number,
  specs: readonly SampleSpec[],
  { events = [], lost = 0 }: { events?: Event[]; lost?: number } = {},
): Batch {
  const ms = (value: number) => value * 1e6
  const samples: Samples = {
    length: specs.length,
    timeNs: Float64Array.from(specs, () => ms(timeMs)),
    thread: Uint32Array.from(specs, ({ thread }) => thread.id),
    stack: Uint32Array.from(specs, ({ stack }) => tables.stack(stack)),
    wallNs: Float64Array.from(specs, ({ wallMs = 1 }) => ms(wallMs)),
    cpuNs: Float64Array.from(specs, ({ wallMs = 1, onCpu = true, cpuMs = onCpu ? wallMs : 0 }) => ms(cpuMs)),
    flags: Uint32Array.from(
      specs,
      ({ onCpu = true, holdsGil = onCpu, cut = false }) =>
        (onCpu ? 1 : 0) | (holdsGil ? 2 : 0) | (cut ? 4 : 0),
    ),
  }
  return { tables, samples, events, lost }
}

export const HEALTH: Health = {
  elapsedNs: 0,
  rounds: 0,
  missed: 0,
  failed: 0,
  samples: 0,
  cut: 0,
  cpuNs: 0,
  engine: 'snapshot',
  offcpu: false,
}

/** Yields what it is given until it is ended. */
export class FakeSession implements Source {
  readonly stats: Health = { ...HEALTH }
  ended: EndReason | null = null
  #waiting: Batch[] = []
  #wake: () => void = () => {}

  push(batch: Batch): void {
    this.#waiting.push(batch)
    this.#wake()
  }

  end(reason: EndReason): void {
    this.ended ??= reason
    this.#wake()
  }

  async *batches(): AsyncGenerator<Batch> {
    for (;;) {
      const taken = this.#waiting
      this.#waiting = []
      yield* taken
      if (this.#waiting.length > 0) continue
      if (this.ended) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async profile(): Promise<Profile> {
    return new Profile(example(), { pid: 100, rate: 1000, mode: 'wall', subprocesses: false, exit: null })
  }

  async close(): Promise<void> {
    this.end('stopped')
  }
}
