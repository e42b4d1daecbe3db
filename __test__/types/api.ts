/** Checked by tsc, never run: the public types as a caller uses them. */
import {
  AbortError,
  type ErrorCode,
  type ProcessInfo,
  type Profile,
  PyprofError,
  processes,
  record,
  type Snapshot,
  snapshot,
} from '../../src/index.js'

export async function use(): Promise<void> {
  const list: ProcessInfo[] = await processes()
  const version: string | null = list[0]!.pythonVersion
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
  void [version, state, text, bytes, status, wrong]
}
