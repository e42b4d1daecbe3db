/** Checked by tsc, never run: the public types as a caller uses them. */
import { Readable } from 'node:stream'
import {
  AbortError,
  attach,
  type Batch,
  type Diagnosis,
  doctor,
  type ErrorCode,
  type ProcessInfo,
  type Profile,
  PyprofError,
  processes,
  record,
  type SessionEvent,
  type Snapshot,
  type StackFrame,
  snapshot,
  spawn,
} from '../../src/index.js'

export async function use(): Promise<void> {
  const list: ProcessInfo[] = await processes()
  const version: string | null = list[0]!.pythonVersion
  const diagnosis: Diagnosis = await doctor(1)
  const engine: 'exact' | 'perf' | 'perf-user' | 'snapshot' | null | undefined = diagnosis.target?.engine
  // @ts-expect-error a pid is a number
  await doctor('1')
  const found: Snapshot = await snapshot(1, { locals: true })
  const state: boolean | null = found.threads[0]!.holdsGil
  const profile: Profile = await record({
    pid: 1,
    duration: 10_000,
    mode: 'cpu',
    signal: AbortSignal.timeout(1),
  })
  const text: string = profile.to('collapsed', { threads: true })
  const bytes: Uint8Array = profile.to('pprof')
  const status: number | null | undefined = profile.exit?.code
  // @ts-expect-error no such mode
  await record({ pid: 1, mode: 'real' })
  // @ts-expect-error no such format
  profile.to('svg')
  // @ts-expect-error text, not bytes
  const wrong: Uint8Array = profile.to('speedscope')
  try {
    await record({ command: 'python3', args: ['app.py'], onProgress: (stats) => stats.samples.toFixed() })
  } catch (error) {
    if (error instanceof PyprofError) {
      const code: ErrorCode = error.code
      void code
    }
    if (error instanceof AbortError) {
      const code: 'ABORT_ERR' = error.code
      void code
    }
  }
  void [engine, version, state, text, bytes, status, wrong]
}

export async function stream(): Promise<void> {
  const session = await attach(1, { rate: 1000, subprocesses: true, signal: AbortSignal.timeout(1) })
  for await (const event of session) {
    if (event.type === 'sample') {
      const frame: StackFrame | undefined = event.leaf
      const text: string = event.thread.process.command.join(' ') + event.frames[0]!.name
      const ns: number = event.cpuNs + event.wallNs + event.timeNs
      void [frame, text, ns]
    } else if (event.type === 'gap') event.lost.toFixed()
    else if (event.type === 'process-exec') event.process.pid.toFixed()
    else if (event.type === 'thread-end') event.thread.name.trim()
    // @ts-expect-error a thread event has no process of its own
    else event.process
  }
  const batches: AsyncIterable<Batch> = session.batches()
  const readable: Readable = Readable.from(session)
  const profile: Profile = await session.collect({ duration: 10 })
  const events: AsyncIterable<SessionEvent> = session
  await session.close()
  const program = await spawn('python3', ['app.py'], { cwd: '/', stdio: 'ignore' })
  const pid: number | undefined = program.child?.pid
  // @ts-expect-error a rate is a number
  await attach(1, { rate: '1000' })
  await session[Symbol.asyncDispose]()
  void [batches, readable, profile, events, pid]
}
