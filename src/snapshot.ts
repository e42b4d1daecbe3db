import { binding } from './binding.js'
import { checkPid, native } from './errors.js'
import type { RawFrameSnapshot, RawNativeLook, RawSnapshot, RawThreadSnapshot } from './raw.js'
import type { FrameSnapshot, NativeLook, Snapshot, ThreadSnapshot } from './types.js'

export interface SnapshotOptions {
  /** Read arguments and locals too, as bounded text. Default: false. */
  locals?: boolean
  /**
   * Show native frames of blocked threads, and threads that run no Python. No thread is stopped, so none of one that
   * runs are shown: `ThreadSnapshot.native` says so for each. Default: false.
   */
  native?: boolean
  /** Show kernel frames of blocked threads, or the system call where they may not be seen. Default: false. */
  kernel?: boolean
}

/**
 * Looks once at every thread of a process, without stopping it.
 *
 * @throws {PyprofError} when the process cannot be read; see `ERROR_CODES`
 */
export async function snapshot(pid: number, options: SnapshotOptions = {}): Promise<Snapshot> {
  checkPid(pid)
  const { locals = false, native: withNative = false, kernel = false } = options
  return convert(await native(binding().snapshot(pid, { locals, native: withNative, kernel })))
}

function convert(raw: RawSnapshot): Snapshot {
  return { schemaVersion: 1, ...raw, threads: raw.threads.map(convertThread) }
}

function convertThread({ tid, isMain, ...raw }: RawThreadSnapshot): ThreadSnapshot {
  const thread: ThreadSnapshot = {
    interpreter: raw.interpreter,
    name: raw.name,
    pythonId: raw.pythonId,
    nativeId: tid || null,
    main: isMain,
    onCpu: raw.onCpu,
    holdsGil: raw.holdsGil ?? null,
    complete: raw.complete,
    frames: raw.frames.map(convertFrame),
  }
  if (raw.native) thread.native = convertNative(raw.native)
  return thread
}

function convertNative({ complete, note, hasPython, waitsIn }: RawNativeLook): NativeLook {
  const wait = waitsIn && { ...waitsIn, number: waitsIn.number ?? null }
  return { complete, note, python: hasPython, waitsIn: wait ?? null }
}

const KINDS = ['python', 'missing', 'native', 'kernel'] as const

function convertFrame(raw: RawFrameSnapshot): FrameSnapshot {
  const frame: FrameSnapshot = {
    kind: KINDS[raw.kind]!,
    name: raw.name,
    qualifiedName: raw.qualifiedName,
    file: raw.file,
    firstLine: raw.firstLine || null,
    line: raw.line || null,
    endLine: raw.endLine || null,
    column: offset(raw.column),
    endColumn: offset(raw.endColumn),
    async: raw.isAsync,
  }
  if (raw.module) frame.module = raw.module
  if (raw.locals) {
    frame.locals = raw.locals.map(({ name, isArgument, value }) => ({ name, argument: isArgument, value }))
  }
  return frame
}

/** The addon counts columns from 1, so that 0 can mean unknown. */
function offset(column: number): number | null {
  return column === 0 ? null : column - 1
}
